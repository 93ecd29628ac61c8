/**
 * The values that the running batch writes, by document and by unique value. Transactions of this process read them before
 * they are on disk, so that several of them share a flush. The commit checks them again.
 */
import { type AnyCollection, documentKey, type Found, type Plan, uniqueKey } from '../plan.js';

export class UnflushedValues {
  private readonly values = new Map<string, Found & { plan: Plan }>();

  document(collection: AnyCollection, id: string): Found | undefined {
    return this.values.get(documentKey(collection, id));
  }

  unique(collection: AnyCollection, name: string, value: string): Found | undefined {
    return this.values.get(uniqueKey(collection, name, value));
  }

  add(plan: Plan, durable: Promise<void>): void {
    for (const [key, value] of writesOf(plan)) this.values.set(key, { value, durable, plan });
  }

  /** The plan is on disk or refused, so the tables have the right values. A value of a later plan stays. */
  remove(plan: Plan): void {
    for (const [key] of writesOf(plan)) if (this.values.get(key)?.plan === plan) this.values.delete(key);
  }
}

function* writesOf({ documents, uniques }: Plan): Generator<[key: string, value: string | undefined]> {
  for (const { collection, id, after, written } of documents) {
    if (written) yield [documentKey(collection, id), after?.json];
  }
  for (const { collection, name, value, after, written } of uniques) {
    if (written) yield [uniqueKey(collection, name, value), after];
  }
}
