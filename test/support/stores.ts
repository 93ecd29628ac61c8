/** The stores that the end-to-end tests run on: the name, and how to start an empty one. */
export interface RunningStore {
  env: Record<string, string>;
  stop(): Promise<void>;
}

async function startEmbedded(): Promise<RunningStore> {
  return { env: {}, stop: async () => undefined };
}

export const STORES: [name: string, start: () => Promise<RunningStore>][] = [
  ['the embedded store', startEmbedded],
];
