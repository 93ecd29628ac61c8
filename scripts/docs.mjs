// Writes what is made from the code: `npm run docs` both files, `npm run docs:events` EVENTS.md, `npm run docs:openapi` openapi.json.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createApp } from '../build/app.setup.js';
import { readConfig } from '../build/config.js';
import { eventsPage } from '../build/events/events-page.js';
import { openApiDocument } from '../build/http/openapi.js';
import { Logger } from '../build/shared/logger.js';

const [what = 'all'] = process.argv.slice(2);
const folder = mkdtempSync(join(tmpdir(), 'brain-docs-'));
const config = readConfig({ BRAIN_DATA_DIR: folder, BRAIN_EVENTS: 'on' });
const app = await createApp(config, new Logger({ level: 'error', format: 'pretty' }));
if (what !== 'openapi') writeFileSync('EVENTS.md', eventsPage());
if (what !== 'events') writeFileSync('openapi.json', `${JSON.stringify(openApiDocument(app), null, 2)}\n`);
await app.close();
rmSync(folder, { recursive: true, force: true });
