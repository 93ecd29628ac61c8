/** `npm run test:faults` runs the long form of the tests that have one; `npm test` runs the short form. */
export const LONG = process.env.FAULTS === 'long';
