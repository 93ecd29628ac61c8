/** The OpenAPI document, made from the controllers and their DTOs. */
import type { INestApplication } from '@nestjs/common';
import { DocumentBuilder, type OpenAPIObject, SwaggerModule } from '@nestjs/swagger';
import { KEY_SCHEME } from '../security/access.decorator.js';
import { declaredTags, type Permission, permits, ROLES } from '../shared/declarations.js';
import { separateInputs } from './input-schemas.js';
import { addProblemExamples } from './problem-examples.js';
import { declareHeaders, type WithAnswers } from './response-headers.js';

const DESCRIPTION = `One service that governs a fleet of autonomous AI agents: it decides what an agent may do (policy),
tracks the threats to the fleet (threats), watches its health (immune), runs its work (missions), and writes every fact to
one event log.

Send an API key as \`Authorization: Bearer brn_…\`. Every error is a problem (RFC 9457) whose \`detail\` says what to do.`;

interface Body {
  description?: string;
  content: Record<string, { schema: { $ref?: string } }>;
}

interface Operation extends WithAnswers {
  description?: string;
  'x-permission'?: Permission;
  security?: object[];
  requestBody?: Body;
}

export function openApiDocument(app: INestApplication): OpenAPIObject {
  const config = new DocumentBuilder()
    .setOpenAPIVersion('3.1.0')
    .setTitle('BRAiN Control Plane')
    .setDescription(DESCRIPTION)
    .setVersion('1')
    .setLicense('Apache-2.0', 'https://www.apache.org/licenses/LICENSE-2.0')
    .addServer('/')
    // Not addBearerAuth, which says that the token is a JWT.
    .addSecurity(KEY_SCHEME, { type: 'http', scheme: 'bearer', description: 'An API key: brn_…' })
    .build();
  config.tags = declaredTags().map(([name, { description }]) => ({ name, description }));
  const operationIdFactory = (controller: string, method: string): string =>
    `${controller.replace('Controller', '').toLowerCase()}_${method}`;
  const document = SwaggerModule.createDocument(app, config, { operationIdFactory });
  const headers: Record<string, object> = {};
  document.components = { ...document.components, headers: headers };
  for (const path of Object.values(document.paths)) {
    for (const operation of Object.values(path) as Operation[]) {
      // An open route must state in the document that it needs no key.
      operation.security ??= [];
      declareHeaders(operation, headers);
      if (operation.requestBody) describe(operation.requestBody, document);
      operation.description = `${operation.description ?? ''}\n\n${whoMay(operation)}`;
    }
  }
  separateInputs(document);
  addProblemExamples(document);
  return document;
}

function whoMay({ 'x-permission': permission }: Operation): string {
  if (permission === undefined) return 'Needs no key.';
  const roles = ROLES.filter((role) => permits(role, permission));
  return `Needs the permission \`${permission}\`, which these roles have: ${roles.join(', ')}.`;
}

/** A body has the description of its class. */
function describe(body: Body, { components }: OpenAPIObject): void {
  const [{ schema }] = Object.values(body.content);
  const name = schema.$ref?.split('/').at(-1) ?? '';
  body.description = (components?.schemas?.[name] as { description?: string } | undefined)?.description;
}
