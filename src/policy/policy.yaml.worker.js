// Reads YAML beside the event loop; a file of its own, because it is a thread of its own.
import { parentPort, workerData } from 'node:worker_threads';
import { parse } from 'yaml';

parentPort.postMessage(parse(workerData.text, workerData.options));
