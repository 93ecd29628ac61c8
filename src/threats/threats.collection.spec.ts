import { THREATS } from './threats.collection.js';

const read = (raw: object): unknown => THREATS.read?.(raw as Record<string, unknown>);

describe('a stored threat', () => {
  const foreign = {
    id: 'a',
    type: 't',
    source: 's',
    severity: 'LOW',
    status: 'OPEN',
    created_at: 5,
    extra: 1,
  };

  it('from another program gets defaults for missing fields, and keeps additional fields', () => {
    expect(read(foreign)).toEqual({
      ...foreign,
      description: null,
      metadata: {},
      last_seen_at: 5,
      occurrences: 1,
      fingerprint: null,
      resolution: null,
      mitigated_at: null,
      opened_at: 5,
      version: 1,
    });
  });

  it.each([
    [{ id: 1 }],
    [{ type: undefined }],
    [{ status: 'open' }],
    [{ severity: 'WORST' }],
    [{ created_at: 'yesterday' }],
  ])('with a wrong field is refused: %j', (wrong) => {
    expect(() => read({ ...foreign, ...wrong })).toThrow();
  });
});
