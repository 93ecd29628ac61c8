/** What the events look like, for those who build on them. It answers with events off too: it tells of types, not of events. */
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
  /** The domains have defined their events when they were loaded, and that was before anything is constructed. */
  private readonly catalog: Catalog = {
    envelope: envelopeSchema(),
    types: catalog().map((definition) => ({
      type: definition.type,
      module: definition.module,
      priority: definition.priority,
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
  @ApiOperation({ summary: 'List every type of event with its schema, an example and who would listen' })
  @ApiOkResponse({ type: Catalog })
  types(): Catalog {
    return this.catalog;
  }

  @Get('asyncapi.json')
  @Access('events:read')
  @ApiOperation({ summary: 'Describe the live stream as AsyncAPI 3.0' })
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
