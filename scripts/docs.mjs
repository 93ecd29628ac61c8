// Writes the documents that are made from the code. `npm run docs` writes all of them, `npm run docs:events` EVENTS.md,
// `npm run docs:openapi` openapi.json, `npm run docs:asyncapi` asyncapi.json, `npm run docs:settings` docs/settings.md and
// .env.example.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createApp } from '../build/app.setup.js';
import { readConfig } from '../build/config/config.js';
import { environmentFile, settingsPage } from '../build/config/settings-page.js';
import { asyncApiDocument } from '../build/events/catalog/asyncapi.js';
import { eventsPage } from '../build/events/catalog/events-page.js';
import { openApiDocument } from '../build/http/openapi.js';
import { Logger } from '../build/shared/logger.js';

const json = (document) => `${JSON.stringify(document, null, 2)}\n`;
const DOCUMENTS = {
  events: ['EVENTS.md', () => eventsPage()],
  openapi: ['openapi.json', (app) => json(openApiDocument(app))],
  settings: ['docs/settings.md', () => settingsPage()],
  environment: ['.env.example', () => environmentFile()],
  asyncapi: ['asyncapi.json', () => json(asyncApiDocument())],
};

const wanted = process.argv.length > 2 ? process.argv.slice(2) : Object.keys(DOCUMENTS);
const folder = mkdtempSync(join(tmpdir(), 'brain-docs-'));
const config = readConfig({ BRAIN_DATA_DIR: folder, BRAIN_EVENTS: 'on' });
const app = await createApp(config, new Logger({ level: 'error', format: 'pretty' }));
for (const [file, write] of wanted.map((name) => DOCUMENTS[name])) writeFileSync(file, write(app));
await app.close();
rmSync(folder, { recursive: true, force: true });
