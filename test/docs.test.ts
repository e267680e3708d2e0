import { expect, it } from 'vitest';
import { commands, helpOf } from './support/help.ts';

const introduction = `# Commands

\`npm run docs\` writes this page from the tables in \`src/commands/\`. Each section is what \`--help\` prints.
`;

it('docs/commands.md equals the output of npm run docs', async () => {
  const rows = commands.map(({ path, command }) => {
    const link = `[${path.join(' ')}](#cryptosense-db-${path.join('-')})`;
    return `| ${link} | ${command.summary} |`;
  });
  const table = ['| Command | What it does |', '| --- | --- |', ...rows].join('\n');
  const paths: readonly (readonly string[])[] = [[], ...commands.map(({ path }) => path)];
  const helps = paths.map((path) => {
    const title = ['cryptosense-db', ...path].join(' ');
    return `## ${title}\n\n\`\`\`text\n${helpOf(path).trim()}\n\`\`\`\n`;
  });
  const text = [introduction, `${table}\n`, ...helps].join('\n');
  await expect(text).toMatchFileSnapshot('../docs/commands.md');
});
