/** What a process writes when it starts. */
import { temporaryFolder } from './support/folder.js';
import { ServiceProcess } from './support/process.js';

describe('the start of a process', () => {
  const folder = temporaryFolder();
  let service: ServiceProcess | undefined;
  const start = async (env: Record<string, string>): Promise<ServiceProcess> => {
    service = await ServiceProcess.start({ BRAIN_DATA_DIR: folder.path, ...env });
    return service;
  };
  afterEach(() => service?.stop());
  afterAll(() => folder.remove());

  it('writes nothing but JSON lines into a JSON log', async () => {
    const { output, logs, url } = await start({ BRAIN_LOG_FORMAT: 'json' });
    expect(logs).toHaveLength(output.trimEnd().split('\n').length);
    expect(logs.find(({ msg }) => msg === 'listening')).toMatchObject({
      level: 'info',
      api: `${url}/api`,
      explorer: `${url}/docs`,
      store: `embedded, in ${folder.path}`,
      events: 'on',
      admin_key: 'the one in BRAIN_BOOTSTRAP_KEY',
    });
  });

  it('writes a block for people into a readable log', async () => {
    const { output, url } = await start({ BRAIN_LOG_FORMAT: 'pretty' });
    expect(output).toContain(`\nBRAiN Control Plane\n  API        ${url}/api\n`);
  });
});
