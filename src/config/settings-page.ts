/** Makes docs/settings.md and .env.example from the settings. */
import { fileNameOf } from './secret-files.js';
import { type Setting, settingGroups } from './settings.js';

const LINE = 118;

export function settingsPage(): string {
  const lines = [
    '# Settings',
    '',
    'Made from the code by `npm run docs:settings`: from `src/config/settings.ts` and the `*.settings.ts` of each domain.',
    '',
    'Settings are environment variables. An empty value counts as none. The service does not start with an unknown',
    '`BRAIN_` name or with a value that is not allowed, and names every fault at once. It ignores `BRAIN_URL` and',
    '`BRAIN_KEY`, which are for clients of the service, and the names that Kubernetes sets for a service named `brain`.',
  ];
  for (const { title, settings } of settingGroups()) {
    lines.push('', `## ${title}`, '', '| Name | Default | What it is |', '|---|---|---|');
    for (const [name, setting] of Object.entries(settings)) {
      const { fallback, about, secret } = setting;
      lines.push(`| \`${name}\` | ${fallback === undefined ? '' : `\`${fallback}\``} | ${about} |`);
      if (secret) lines.push(`| \`${fileNameOf(name)}\` |  | ${aboutFile(name)} |`);
    }
  }
  return `${lines.join('\n')}\n`;
}

export function environmentFile(): string {
  const lines = [
    '# Every setting with its default, made from the code by `npm run docs:settings`. A setting without a default is',
    '# commented out. The service reads the environment, not this file: `node --env-file=.env dist/main.js`, compose, or',
    '# Kubernetes do.',
  ];
  for (const { title, settings } of settingGroups()) {
    lines.push('', `## ${title}`);
    for (const [name, setting] of Object.entries(settings)) {
      lines.push(...wrapped(setting.about.replaceAll('`', '')), assignment(name, setting));
      if (setting.secret)
        lines.push(...wrapped(aboutFile(name).replaceAll('`', '')), `# ${fileNameOf(name)}=`);
    }
  }
  return `${lines.join('\n')}\n`;
}

function aboutFile(name: string): string {
  return `A file with the value of \`${name}\`, instead of the value; one newline at its end does not count`;
}

function assignment(name: string, { fallback }: Setting<unknown>): string {
  return fallback === undefined ? `# ${name}=` : `${name}=${fallback}`;
}

/** The text as lines of comments, broken between words. */
function wrapped(text: string): string[] {
  const lines: string[] = [];
  let line = '#';
  for (const word of text.split(' ')) {
    if (line.length + 1 + word.length > LINE) {
      lines.push(line);
      line = '#';
    }
    line += ` ${word}`;
  }
  return [...lines, line];
}
