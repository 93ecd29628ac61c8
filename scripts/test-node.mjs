// `npm run test:node -- 24`: the whole suite on another version of Node. Arguments after the version are for Jest.
import { spawnSync } from 'node:child_process';
import { otherNode } from './other-node.mjs';

const [wanted, ...args] = process.argv.slice(2);
if (!/^\d+(\.\d+){0,2}$/.test(wanted ?? '')) {
  console.error('Say which version of Node: npm run test:node -- 24');
  process.exit(1);
}
const { version, env, remove } = otherNode(wanted);
console.log(`On Node ${version}:`);
// This variable leaves out the tests that would run again on the Node of the image.
const { status } = spawnSync('node', ['scripts/test.mjs', ...args], {
  stdio: 'inherit',
  env: { ...env, TEST_ONLY_THIS_NODE: '1' },
});
remove();
process.exit(status ?? 1);
