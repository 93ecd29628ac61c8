/** That a new domain is a folder and one line: a copy of the service gets one, is compiled, started and used. */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { ADMIN } from './support/service.js';

const ROOT = resolve(__dirname, '..');
/** A whole compilation, on a machine that does other things too. */
const LONG_MS = 240_000;

const FILES: Record<string, string> = {
  'notes.module.ts': `
    import { Module } from '@nestjs/common';
    import { Declares } from '../shared/declarations.js';
    import { NotesController } from './notes.controller.js';
    import { NotesService } from './notes.service.js';

    @Declares({
      tags: { notes: { description: 'What people want to remember', order: 45 } },
      permissions: { 'notes:read': ['operator', 'viewer'], 'notes:write': ['operator'] },
    })
    @Module({ controllers: [NotesController], providers: [NotesService] })
    export class NotesModule {}
  `,
  'notes.controller.ts': `
    import { Body, Controller, Get, Param, Post } from '@nestjs/common';
    import { ApiCreatedResponse, ApiOkResponse, ApiOperation, ApiTags } from '@nestjs/swagger';
    import { Problems } from '../http/request.js';
    import { Access } from '../security/access.decorator.js';
    import { NewNote, Note } from './notes.dto.js';
    import { NotesService } from './notes.service.js';

    @ApiTags('notes')
    @Controller('api/notes')
    export class NotesController {
      constructor(private readonly notes: NotesService) {}

      @Post()
      @Access('notes:write')
      @ApiOperation({ summary: 'Make a note' })
      @ApiCreatedResponse({ type: Note })
      @Problems(400, 409, 413, 415, 422)
      make(@Body() body: NewNote): Promise<Note> {
        return this.notes.make(body);
      }

      @Get(':id')
      @Access('notes:read')
      @ApiOperation({ summary: 'Read a note' })
      @ApiOkResponse({ type: Note })
      @Problems(404)
      one(@Param('id') id: string): Promise<Note> {
        return this.notes.one(id);
      }
    }
  `,
  'notes.service.ts': `
    import { Inject, Injectable, Optional } from '@nestjs/common';
    import { CONFIG, type Config, settingsIn } from '../config/config.js';
    import { EventStream } from '../events/event-stream.js';
    import { BrainError } from '../shared/errors.js';
    import { randomId } from '../shared/ids.js';
    import { Store } from '../storage/store.js';
    import { NOTES } from './notes.collection.js';
    import type { NewNote, Note } from './notes.dto.js';
    import { noteMade } from './notes.events.js';
    import { NOTES_SETTINGS } from './notes.settings.js';

    @Injectable()
    export class NotesService {
      private readonly most: number;

      constructor(
        @Inject(Store) private readonly store: Store,
        @Inject(CONFIG) config: Config,
        @Optional() @Inject(EventStream) private readonly events?: EventStream,
      ) {
        store.declare(NOTES);
        this.most = settingsIn(config, NOTES_SETTINGS).BRAIN_NOTES_MAX;
      }

      async make({ text }: NewNote): Promise<Note> {
        const { total = 0 } = await this.store.counts(NOTES);
        if (total >= this.most) throw new BrainError('conflict', 'too_many_notes', 'There are too many notes.');
        return this.store.transaction(async (tx) => {
          const note = { id: randomId(12), text, created_at: Date.now() / 1000 };
          tx.insert(NOTES, note);
          this.events?.publish(noteMade(note), tx);
          return note;
        });
      }

      async one(id: string): Promise<Note> {
        const note = await this.store.get(NOTES, id);
        if (!note) throw new BrainError('not_found', 'note_not_found', 'There is no note with this id.');
        return note;
      }
    }
  `,
  'notes.dto.ts': `
    import { Num, Text } from '../shared/fields.js';

    export class NewNote {
      @Text({ max: 100, example: 'Rotate the keys' })
      text!: string;
    }

    export class Note extends NewNote {
      @Text({ max: 12, example: 'k3v9x2abq8w1' })
      id!: string;

      @Num({ description: 'Unix seconds', example: 1735424567.89 })
      created_at!: number;
    }
  `,
  'notes.events.ts': `
    import { defineEvent } from '../events/event.js';
    import { Text } from '../shared/fields.js';
    import type { Note } from './notes.dto.js';

    class NoteMade {
      @Text({ max: 12 }) note_id!: string;
      @Text({ max: 100 }) text!: string;
    }

    export const noteMade = defineEvent({
      type: 'note.made',
      module: 'notes',
      payload: NoteMade,
      subjects: ['note_id'],
      priority: 'LOW',
      when: 'A note is made.',
      example: { note_id: 'k3v9x2abq8w1', text: 'Rotate the keys' },
      consumers: ['Dashboard: the latest notes'],
      of: (note: Note): NoteMade => ({ note_id: note.id, text: note.text }),
    });
  `,
  'notes.collection.ts': `
    import type { Collection } from '../storage/store.js';
    import type { Note } from './notes.dto.js';

    export const NOTES: Collection<Note> = {
      name: 'notes',
      item: 'note',
      version: 1,
      indexVersion: 1,
      id: (note) => note.id,
      order: (note) => note.created_at,
    };
  `,
  'notes.settings.ts': `
    import { allow, defineSettings } from '../config/config.js';

    export const NOTES_SETTINGS = defineSettings('Notes', {
      BRAIN_NOTES_MAX: { about: 'The most notes', fallback: '100', parse: allow.integer(1, 1000) },
    });
  `,
};

interface Answer {
  status: number;
  body: Record<string, unknown>;
}

describe('a new domain', () => {
  let folder: string;
  let child: ChildProcess | undefined;
  let url = '';

  const ask = async (path: string, body?: object, key = ADMIN): Promise<Answer> => {
    const response = await fetch(url + path, {
      method: body ? 'POST' : 'GET',
      headers: { Authorization: `Bearer ${key}`, 'Content-Type': 'application/json' },
      body: body && JSON.stringify(body),
    });
    return { status: response.status, body: (await response.json()) as Answer['body'] };
  };

  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), 'brain-domain-'));
    for (const path of ['src', 'scripts', 'package.json', 'tsconfig.json', 'tsconfig.build.json'])
      cpSync(join(ROOT, path), join(folder, path), { recursive: true });
    symlinkSync(join(ROOT, 'node_modules'), join(folder, 'node_modules'));
    mkdirSync(join(folder, 'src/notes'));
    for (const [name, text] of Object.entries(FILES)) writeFileSync(join(folder, 'src/notes', name), text);
    const contents = join(folder, 'src/app.module.ts');
    const before = readFileSync(contents, 'utf8');
    const withLine = before.replace(/( +)MissionsModule,\n/, '$&$1NotesModule,\n');
    writeFileSync(contents, `import { NotesModule } from './notes/notes.module.js';\n${withLine}`);
    execFileSync(process.execPath, ['scripts/compile.mjs'], {
      cwd: folder,
      stdio: ['ignore', 'inherit', 'inherit'],
    });
    url = await start();
  }, LONG_MS);

  afterAll(async () => {
    const ended = new Promise((resolve) => child?.once('close', resolve) ?? resolve(undefined));
    child?.kill('SIGKILL');
    await ended;
    rmSync(folder, { recursive: true, force: true });
  });

  function start(): Promise<string> {
    const { PATH, HOME } = process.env;
    const settings = {
      BRAIN_DATA_DIR: join(folder, 'data'),
      BRAIN_BOOTSTRAP_KEY: ADMIN,
      BRAIN_NOTES_MAX: '2',
    };
    const started = spawn(process.execPath, ['build/main.js'], {
      cwd: folder,
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { PATH, HOME, PORT: '0', BRAIN_LOG_FORMAT: 'json', ...settings },
    });
    child = started;
    let output = '';
    return new Promise((done, fail) => {
      const read = (bytes: Buffer): void => {
        output += bytes.toString('utf8');
        const found = /"api":"(http:[^"]+)\/api"/.exec(output)?.[1];
        if (found !== undefined) done(found);
      };
      started.stdout.on('data', read);
      started.stderr.on('data', read);
      started.once('close', () => fail(new Error(`The service ended:\n${output}`)));
    });
  }

  it('has routes that are checked and protected like all others, and its own setting', async () => {
    expect((await ask('/api/notes', { text: 'one' }, 'wrong')).status).toBe(401);
    expect((await ask('/api/notes', { text: 7 })).status).toBe(422);
    const made = await ask('/api/notes', { text: 'one' });
    expect(made).toMatchObject({ status: 201, body: { text: 'one' } });
    expect((await ask(`/api/notes/${String(made.body.id)}`)).body).toEqual(made.body);
    expect((await ask('/api/notes', { text: 'two' })).status).toBe(201);
    expect((await ask('/api/notes', { text: 'three' })).body.code).toBe('too_many_notes');
  });

  it('gives its permissions to the roles that it names', async () => {
    const viewer = (await ask('/api/keys', { name: 'viewer', role: 'viewer' })).body.key as string;
    expect((await ask('/api/notes', { text: 'x' }, viewer)).body.code).toBe('forbidden');
    expect((await ask('/api/notes/nothing', undefined, viewer)).body.code).toBe('note_not_found');
  });

  it('has its events in the log', async () => {
    const { body } = await ask('/api/events?type=note.made');
    const events = body.events as { payload: { text: string } }[];
    expect(events.map(({ payload }) => payload.text)).toEqual(['two', 'one']);
  });

  it('has its section and its permissions in the OpenAPI document', async () => {
    const { body } = await ask('/openapi.json');
    const tags = body.tags as { name: string; description: string }[];
    const names = tags.map(({ name }) => name);
    expect(tags).toContainEqual({ name: 'notes', description: 'What people want to remember' });
    expect(names.indexOf('notes')).toBe(names.indexOf('immune') + 1);
    const paths = body.paths as Record<string, Record<string, Record<string, unknown>>>;
    expect(paths['/api/notes'].post).toMatchObject({ 'x-permission': 'notes:write', tags: ['notes'] });
  });
});
