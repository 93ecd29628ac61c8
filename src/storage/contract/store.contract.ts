/**
 * The suite that both backends of `Store` must pass, with the `EventLog` in its commits. A `Backend` says with a reason
 * what it cannot show; no test is skipped silently.
 */
import { boundsContract } from './bounds.contract.js';
import { coordinationContract } from './coordination.contract.js';
import { listsContract } from './lists.contract.js';
import { type Backend, Subject } from './subject.js';
import { transactionsContract } from './transactions.contract.js';
import { volumeContract } from './volume.contract.js';

/** With `whole` false it leaves out slow tests that do not depend on the topology. */
export function storeContract(title: string, start: () => Promise<Backend>, whole = true): void {
  describe(`Store on ${title}`, () => {
    const subject = new Subject();
    beforeAll(() => subject.start(start), 60_000);
    afterAll(() => subject.backend.stop());
    beforeEach(subject.clear);

    transactionsContract(subject);
    listsContract(subject);
    coordinationContract(subject);
    boundsContract(subject);
    if (whole) volumeContract(subject, title);
  });
}
