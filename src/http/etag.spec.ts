import { codeOf } from '../../test/support/errors.js';
import { versionsIn } from './etag.js';

const read = (header: string | undefined) => versionsIn({ headers: { 'if-match': header } });

describe('If-Match', () => {
  it.each([
    [undefined, undefined],
    ['*', undefined],
    [' * ', undefined],
    ['"3"', [3]],
    ['"3", "4","5"', [3, 4, 5]],
    // A weak tag never matches, and neither does a tag that is no version.
    ['W/"3"', []],
    ['W/"3", "4"', [4]],
    ['"other,service!", "4"', [4]],
    ['"-1", "01", "1.5", "0x1", "9999999999999999"', []],
  ])('%j accepts %j', (header, versions) => {
    expect(read(header)).toEqual(versions);
  });

  it.each(['', '3', 'rubbish', '"3', '"3" "4"', '"3",', ',"3"', '"3",*', 'w/"3"', '"\u00003"'])(
    '%j is refused',
    async (header) => {
      expect(await codeOf(Promise.resolve().then(() => read(header)))).toBe('invalid_if_match');
    },
  );
});
