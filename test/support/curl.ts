/** The curl lines of a page as requests, so that a test can send what its reader would type. */
export interface CurlRequest {
  line: string;
  /** With the query. */
  path: string;
  headers: Record<string, string>;
}

/** Understands what our pages use, and fails on anything else instead of passing over it. */
export function curlRequests(page: string, variables: Record<string, string>): CurlRequest[] {
  return [...page.matchAll(/^\s*curl .*$/gm)].map(([line]) => {
    const request: CurlRequest = { line, path: '', headers: {} };
    const [, ...words] = wordsOf(line.trim(), variables);
    for (let word = words.shift(); word !== undefined; word = words.shift()) {
      const url = /^http:\/\/127\.0\.0\.1:8080(\/.*)$/.exec(word);
      if (word === '-H') {
        const [name, value] = (words.shift() ?? '').split(': ');
        if (!name || !value) throw new Error(`A header is cut off: ${line}`);
        request.headers[name] = value;
      } else if (url?.[1] && request.path === '') request.path = url[1];
      else if (word !== '-N') throw new Error(`What is ${word}? ${line}`);
    }
    if (request.path === '') throw new Error(`There is no URL: ${line}`);
    return request;
  });
}

/** As a shell splits them: nothing is replaced in single quotes, variables are elsewhere. */
function wordsOf(line: string, variables: Record<string, string>): string[] {
  return [...line.matchAll(/'([^']*)'|"([^"]*)"|([^\s'"]+)/g)].map(([, literal, quoted, bare]) => {
    if (literal !== undefined) return literal;
    return (quoted ?? bare ?? '').replaceAll(/\$(\w+)/g, (_, name: string) => {
      const value = variables[name];
      if (value === undefined) throw new Error(`Nobody says what $${name} is: ${line}`);
      return value;
    });
  });
}
