import { Logger } from '../../src/shared/logger.js';

export function silentLogger(): Logger {
  return new Logger({ level: 'silent', format: 'json' });
}

/** Writes every line, also those for debugging, to the given list. */
export function loggerTo(lines: string[]): Logger {
  return new Logger({ level: 'debug', format: 'json' }, { write: (line) => lines.push(line) });
}
