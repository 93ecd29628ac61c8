/** The worker thread: it runs one job, answers, and ends. */
import { parentPort, workerData } from 'node:worker_threads';
import { messageOf } from '../../shared/errors.js';
import type { Answered, Job } from './heavy-work.js';
import { readYaml } from './read-yaml.js';
import { tryDraft } from './try-draft.js';

function answer(job: Job): Answered {
  try {
    return { result: job.kind === 'yaml' ? readYaml(job.input) : tryDraft(job.input) };
  } catch (error) {
    return { fault: messageOf(error) };
  }
}

parentPort?.postMessage(answer(workerData as Job));
