// Checks openapi.json against the recommended rules of Redocly's linter. Any finding fails.

import { resolve } from 'node:path';
import { createConfig, lint } from '@redocly/openapi-core';

const config = await createConfig({
  extends: ['recommended'],
  rules: {
    // The health routes have no parameters and need no key, so no request to them can be wrong.
    'operation-4xx-response': 'off',
  },
});
const problems = await lint({ ref: resolve('openapi.json'), config });
for (const { ruleId, message, location } of problems) {
  console.error(`${ruleId}: ${message} (${location.map((at) => at.pointer).join(', ')})`);
}
process.exit(problems.length === 0 ? 0 : 1);
