/** Describes the types of events to programs that read them. It answers with events off too, because it reads no events. */
import { Controller, Get } from '@nestjs/common';
import { ApiOkResponse, ApiOperation, ApiTags } from '@nestjs/swagger';
import { Access } from '../../security/access.decorator.js';
import { aliasesOf, catalog } from '../event.js';
import { asyncApiDocument } from './asyncapi.js';
import { Catalog } from './catalog.dto.js';
import { envelopeSchema, exampleOf, schemaOf } from './event-schema.js';

@ApiTags('events')
@Controller()
export class CatalogController {
  /** Every domain is loaded, and so has defined its events, before Nest makes this controller. */
  private readonly catalog: Catalog = {
    envelope: envelopeSchema(),
    types: catalog().map((definition) => ({
      type: definition.type,
      module: definition.module,
      priority: definition.priority,
      decision: definition.decision ?? false,
      schema_version: definition.schemaVersion,
      when: definition.when,
      aliases: aliasesOf(definition.type),
      consumers: definition.consumers,
      schema: schemaOf(definition),
      example: exampleOf(definition),
    })),
  };
  private readonly asyncApi = asyncApiDocument();

  @Get('api/events/catalog')
  @Access('events:read')
  @ApiOperation({
    summary: 'List every type of event',
    description:
      'Returns each type with the JSON Schema of its payload, an example, its priority, its aliases and the consumers it ' +
      'is meant for. The answer is the same with `BRAIN_EVENTS=off`.',
  })
  @ApiOkResponse({ type: Catalog, description: 'The catalog of events' })
  types(): Catalog {
    return this.catalog;
  }

  @Get('asyncapi.json')
  @Access('events:read')
  @ApiOperation({
    summary: 'Describe the live stream as AsyncAPI 3.0',
    description:
      'Returns the live stream as an AsyncAPI document with one message for each type of event. The answer is the same ' +
      'with `BRAIN_EVENTS=off`.',
  })
  @ApiOkResponse({
    description: 'An AsyncAPI document',
    schema: {
      type: 'object',
      example: { asyncapi: '3.0.0', info: { title: 'BRAiN Control Plane: events' } },
    },
  })
  asyncapi(): object {
    return this.asyncApi;
  }
}
