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

  it('of another program gets the missing fields, and keeps unknown ones', () => {
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
      first_report: null,
      version: 1,
    });
  });

  it.each([
    [{ id: 1 }],
    [{ type: undefined }],
    [{ status: 'open' }],
    [{ severity: 'WORST' }],
    [{ created_at: 'yesterday' }],
  ])('is refused if it is not a threat: %j', (wrong) => {
    expect(() => read({ ...foreign, ...wrong })).toThrow();
  });
});
