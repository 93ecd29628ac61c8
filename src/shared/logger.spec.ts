import { Logger } from './logger.js';

function written(log: (logger: Logger) => void): string {
  let text = '';
  const out = {
    write: (line: string) => {
      text += line;
    },
  };
  log(new Logger({ level: 'info', format: 'pretty' }, out));
  return text.replace(/^[\d:.]+ /, '');
}

describe('a readable log', () => {
  it('has a line with the fields as they are', () => {
    const fields = { request_id: 'a-1', status: 200, list: [1, 'b'], path: '/api/größe' };
    expect(written((logger) => logger.info('request', fields))).toBe(
      'INFO  request request_id=a-1 status=200 list=[1,"b"] path=/api/größe\n',
    );
  });

  it.each([
    ['z principal=bootstrap status=500', '"z principal=bootstrap status=500"'],
    ['a"b', '"a\\"b"'],
    ['', '""'],
    ['a\nb', '"a\\nb"'],
    ['a\u001b[31m', 'a\\u{1b}[31m'],
    ['a\u009b\u202eb\u2028', '"a\\u{9b}\\u{202e}b\\u{2028}"'],
  ])('does not let the value %j look like anything else', (value, shown) => {
    expect(written((logger) => logger.info('request', { correlation_id: value }))).toBe(
      `INFO  request correlation_id=${shown}\n`,
    );
    expect(written((logger) => logger.info('request', { one: [value] }))).not.toMatch(/\p{Cc}.|\p{Cf}/u);
  });

  it('has its message on one line, and the lines of a stack indented', () => {
    const stack = 'Error: a\n12:00:00.000 INFO  forged\u001b[1A';
    expect(written((logger) => logger.warn('one\ntwo', { stack, code: 'c' }))).toBe(
      'WARN  one\\u{a}two code=c\n    Error: a\n    12:00:00.000 INFO  forged\\u{1b}[1A\n',
    );
  });
});
