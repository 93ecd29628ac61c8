import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { temporaryFolder } from '../../test/support/folder.js';
import { allow, ConfigError, defineSettings, readConfig, settingsIn } from './config.js';

function faultsOf(env: Record<string, string>): string[] {
  try {
    readConfig(env);
    return [];
  } catch (error) {
    if (error instanceof ConfigError) return error.faults;
    throw error;
  }
}

describe('the settings', () => {
  it('have a default for everything', () => {
    expect(readConfig({})).toMatchObject({
      port: 8080,
      host: '127.0.0.1',
      dataDir: './data',
      redis: null,
      keyPrefix: 'brain',
      events: true,
      eventsRetentionDays: 90,
      maxStaleSeconds: 30,
      bootstrapKey: null,
      trustProxy: null,
    });
  });

  it('treat an empty value as not set', () => {
    expect(readConfig({ REDIS_URL: '', PORT: '' })).toMatchObject({ redis: null, port: 8080 });
  });

  it('accept every form of a value', () => {
    const config = readConfig({
      PORT: '0',
      REDIS_URL: 'rediss://user:pa%20ss@host.example:6380/2',
      BRAIN_REDIS_SENTINELS: 'a:1,[::1]:2,c',
      BRAIN_REDIS_MASTER: 'mymaster',
      BRAIN_REDIS_WAIT: '1',
      BRAIN_EVENTS: 'off',
      BRAIN_MASK: '/metadata/email,/params/*/token',
      BRAIN_TRUST_PROXY: 'loopback,10.0.0.0/8',
      BRAIN_BOOTSTRAP_KEY: 'x'.repeat(32),
      BRAIN_EVENTS_RETENTION_DAYS: '0.5',
    });
    expect(config.redis).toEqual({
      url: 'rediss://user:pa%20ss@host.example:6380/2',
      sentinels: [
        { host: 'a', port: 1 },
        { host: '::1', port: 2 },
        { host: 'c', port: 26379 },
      ],
      master: 'mymaster',
      cluster: [],
      wait: 1,
    });
    expect(config).toMatchObject({ port: 0, events: false, mask: ['/metadata/email', '/params/*/token'] });
    expect(config).toMatchObject({ trustProxy: ['loopback', '10.0.0.0/8'], eventsRetentionDays: 0.5 });
    expect(readConfig({ BRAIN_TRUST_PROXY: '1' }).trustProxy).toBe(1);
  });

  describe('that are secret', () => {
    const folder = temporaryFolder();
    const file = (name: string, text: string): string => {
      const path = join(folder.path, name);
      writeFileSync(path, text);
      return path;
    };
    const key = 'k'.repeat(32);
    afterAll(() => folder.remove());

    it('may be in a file, without the newline at its end', () => {
      for (const end of ['', '\n', '\r\n']) {
        const BRAIN_BOOTSTRAP_KEY_FILE = file('key', key + end);
        expect(readConfig({ BRAIN_BOOTSTRAP_KEY_FILE }).bootstrapKey).toBe(key);
      }
      const REDIS_URL_FILE = file('url', 'redis://:pass@host:6379\n');
      const config = readConfig({ REDIS_URL_FILE, BRAIN_REDIS_WAIT: '1', BRAIN_BOOTSTRAP_KEY_FILE: '' });
      expect(config.redis).toMatchObject({ url: 'redis://:pass@host:6379', wait: 1 });
    });

    it('may not be in the environment and in a file', () => {
      const env = { BRAIN_BOOTSTRAP_KEY: key, BRAIN_BOOTSTRAP_KEY_FILE: file('key', key) };
      expect(faultsOf(env)).toEqual([
        'BRAIN_BOOTSTRAP_KEY and BRAIN_BOOTSTRAP_KEY_FILE are both set; remove one of them',
      ]);
    });

    it.each([
      [
        'nothing',
        'hunter2-hunter2',
        'names a file that cannot be read (ENOENT); check its path and permissions',
      ],
      ['a folder', '/', 'names a file that cannot be read (EISDIR); check its path and permissions'],
      ['an empty file', file('empty', '\n'), 'names a file that is empty; write the value into it'],
    ])('stop the start if the file is %s', (_what, path, fault) => {
      expect(faultsOf({ BRAIN_BOOTSTRAP_KEY_FILE: path })).toEqual([`BRAIN_BOOTSTRAP_KEY_FILE ${fault}`]);
    });

    it('in a file are checked as in the environment', () => {
      const [fault] = faultsOf({ BRAIN_BOOTSTRAP_KEY_FILE: file('short', 'short\n\n') });
      expect(fault).toMatch(/^BRAIN_BOOTSTRAP_KEY must be 32 to 256/);
    });

    it('are the only ones with a file', () => {
      expect(faultsOf({ BRAIN_DATA_DIR_FILE: 'x' })).toEqual([
        expect.stringMatching(/^BRAIN_DATA_DIR_FILE is not a setting/),
      ]);
    });
  });

  it('report all faults together, with the name of each setting and never its value', () => {
    const secret = 'hunter2-hunter2';
    const faults = faultsOf({
      PORT: '99999',
      BRAIN_EVENTS: 'yes',
      REDIS_URL: `http://${secret}`,
      BRAIN_BOOTSTRAP_KEY: secret,
      BRAIN_MASK: 'email',
      BRAIN_REDIS_MASTER: 'm',
      BRAIN_TRUST_PROXY: 'everyone',
      BRAIN_EVENT: 'on',
    });
    expect(faults.map((fault) => fault.split(' ')[0])).toEqual([
      'REDIS_URL',
      'PORT',
      'BRAIN_EVENTS',
      'BRAIN_MASK',
      'BRAIN_BOOTSTRAP_KEY',
      'BRAIN_TRUST_PROXY',
      'BRAIN_REDIS_SENTINELS',
      'BRAIN_EVENT',
    ]);
    expect(faults.join('\n')).not.toContain(secret);
  });

  it('refuse combinations that contradict each other', () => {
    expect(faultsOf({ BRAIN_DECISIONS: 'durable', BRAIN_EVENTS: 'off' })).toEqual([
      expect.stringContaining('BRAIN_EVENTS=on'),
    ]);
    expect(faultsOf({ BRAIN_REDIS_WAIT: '1' })).toEqual([expect.stringContaining('needs Redis')]);
  });

  it('refuse unknown names and suggest the nearest', () => {
    expect(faultsOf({ BRAIN_LOG_LEVL: 'info' })).toEqual([
      'BRAIN_LOG_LEVL is not a setting; did you mean BRAIN_LOG_LEVEL?',
    ]);
  });

  it('ignore the names that clients of the service read', () => {
    expect(faultsOf({ BRAIN_URL: 'http://127.0.0.1:8080', BRAIN_KEY: 'brn_x' })).toEqual([]);
    expect(faultsOf({ BRAIN_URLS: 'x' })).toHaveLength(1);
  });

  it('ignore the names that Kubernetes sets for a service named brain', () => {
    const injected = {
      BRAIN_SERVICE_HOST: '10.0.0.1',
      BRAIN_SERVICE_PORT: '80',
      BRAIN_PORT: 'tcp://10.0.0.1:80',
    };
    expect(faultsOf({ ...injected, BRAIN_PORT_80_TCP_ADDR: '10.0.0.1' })).toEqual([]);
  });

  it.each([
    ['1e3', 'PORT'],
    ['-1', 'PORT'],
    [' 80', 'PORT'],
    ['on ', 'BRAIN_EVENTS'],
    ['', 'BRAIN_EVENTS_RETENTION_DAYS', 0],
    ['abc', 'BRAIN_EVENTS_RETENTION_DAYS'],
    ['redis://', 'REDIS_URL'],
    ['redis://h/x', 'REDIS_URL'],
    ['host:port', 'BRAIN_REDIS_CLUSTER'],
    ['a b', 'BRAIN_KEY_PREFIX'],
    ['brain:x', 'BRAIN_KEY_PREFIX'],
  ])('check %j as the value of %s', (value, name, count = 1) => {
    expect(faultsOf({ [name]: value })).toHaveLength(count);
  });
});

describe('the settings of a domain', () => {
  const TABLE = defineSettings('Notes', {
    BRAIN_NOTES_MAX: { about: 'The most notes', fallback: '10', parse: allow.integer(1, 100) },
    BRAIN_NOTES_MODE: { about: 'How', parse: allow.oneOf('fast', 'slow') },
  });

  it('are read and checked like all other settings', () => {
    expect(settingsIn(readConfig({}), TABLE)).toEqual({ BRAIN_NOTES_MAX: 10, BRAIN_NOTES_MODE: null });
    const config = readConfig({ BRAIN_NOTES_MAX: '7', BRAIN_NOTES_MODE: 'slow' });
    expect(settingsIn(config, TABLE)).toEqual({ BRAIN_NOTES_MAX: 7, BRAIN_NOTES_MODE: 'slow' });
    expect(faultsOf({ BRAIN_NOTES_MAX: '0', BRAIN_NOTES_MODES: 'slow' })).toEqual([
      'BRAIN_NOTES_MAX must be a whole number from 1 to 100',
      'BRAIN_NOTES_MODES is not a setting; did you mean BRAIN_NOTES_MODE?',
    ]);
  });

  it('need names that begin with BRAIN_ and are not taken', () => {
    const one = { about: 'One', parse: allow.onOff };
    expect(() => defineSettings('Again', { BRAIN_NOTES_MAX: one })).toThrow(
      'BRAIN_NOTES_MAX is defined twice',
    );
    expect(() => defineSettings('Other', { NOTES: one })).toThrow('must begin with BRAIN_');
  });
});
