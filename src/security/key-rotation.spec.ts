import fc from 'fast-check';
import type { ApiKey } from './api-key.js';
import { rotated } from './key-rotation.js';

const LISTS = { agents: ['a-*'], agent_roles: ['agent'] };
const key: ApiKey = {
  id: 'key_old',
  name: 'scanner',
  role: 'agent',
  hash: 'old',
  created_at: 1000,
  created_by: 'maker',
  expires_at: null,
  ...LISTS,
  owner: 'person',
};
const by = { id: 'key_new', hash: 'new', created_at: 2000, created_by: 'admin' };

describe('a rotation', () => {
  it('hands over everything but the id, the hash and the maker', () => {
    const { before, after } = rotated(key, LISTS, { ...by, latest: 2000, overlapSeconds: 60 });
    expect(before).toEqual({ ...key, expires_at: 2060, replaced_by: 'key_new', lifetime_seconds: null });
    const handedOver = { name: 'scanner', role: 'agent', ...LISTS, owner: 'person', expires_at: null };
    expect(after).toEqual({ ...by, ...handedOver, rotated_from: 'key_old', lifetime_seconds: null });
  });

  it('never lengthens the old key, and gives each new key the same lifetime, however often it happens', () => {
    const clock = fc.integer({ min: 1_000_000, max: 2_000_000 });
    const rotations = fc.array(
      fc.record({ afterSeconds: fc.nat(100_000), overlapSeconds: fc.nat(604_800), again: fc.boolean() }),
      { minLength: 1, maxLength: 6 },
    );
    const lifetimes = fc.option(fc.integer({ min: 1, max: 1_000_000 }));
    fc.assert(
      fc.property(clock, lifetimes, rotations, (start, lifetime, steps) => {
        let now = start;
        const expires_at = lifetime === null ? null : start + lifetime;
        let current: ApiKey = { ...key, created_at: start, expires_at };
        for (const { afterSeconds, overlapSeconds, again } of steps) {
          now += afterSeconds;
          // The clock of the replica may differ from that of the store.
          const made = { ...by, created_at: now - 500_000 };
          const { before, after } = rotated(current, LISTS, { ...made, latest: now, overlapSeconds });
          const end = current.expires_at ?? Number.POSITIVE_INFINITY;
          expect(before.expires_at).toBe(Math.min(end, now + overlapSeconds));
          expect(after.expires_at).toBe(lifetime === null ? null : now + lifetime);
          // Again: the new key was revoked, and the old one is rotated once more.
          current = again ? before : after;
        }
      }),
    );
  });
});
