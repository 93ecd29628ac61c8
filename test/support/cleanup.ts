/** Collects what each test of a file starts, and ends it after the test, the last first. */
export interface Cleanup {
  /** Calls `end` after the test. */
  later: (end: () => unknown) => void;
  /** Stops this after the test. */
  started: <T extends { stop(): unknown }>(what: T) => T;
}

export function cleanUpAfterEach(): Cleanup {
  const ends: (() => unknown)[] = [];
  afterEach(async () => {
    for (const end of ends.splice(0).reverse()) await end();
  }, 60_000);
  const later = (end: () => unknown): void => {
    ends.push(end);
  };
  return {
    later,
    started: (what) => {
      later(() => what.stop());
      return what;
    },
  };
}
