import { entryFaults, IdList } from './id-list.js';

describe('a list of ids', () => {
  const list = new IdList(['team-*', 'reader', 'a.*', 'writer']);

  it('has exact ids and what begins with a prefix, and nothing else', () => {
    for (const id of ['reader', 'writer', 'team-', 'team-7', 'a.b.c'])
      expect([id, list.has(id)]).toEqual([id, true]);
    for (const id of ['', 'Reader', 'readers', 'team', 'a', 'team-*x'.slice(1)])
      expect([id, list.has(id)]).toEqual([id, false]);
    expect(list.first).toBe('reader');
    expect(new IdList([]).has('')).toBe(false);
  });

  it('has every id for `*`, but no id of the service', () => {
    const all = new IdList(['*']);
    expect([all.has('anyone'), all.has(''), all.has('brain:reflex')]).toEqual([true, true, false]);
    expect([all.hasAll, all.first]).toEqual([true, undefined]);
  });

  it('is refused with an entry that is none', () => {
    expect(entryFaults(['x', '*', 'team-*', 'a/b:*', '-*'], '/agents')).toEqual([]);
    const wrong = ['team*', '*x', 'a*b', '**', 'brain:x', 'brain:*', 'a-**'];
    expect(entryFaults(wrong, '/agents').map(({ pointer }) => pointer)).toEqual(
      wrong.map((_, i) => `/agents/${i}`),
    );
  });
});
