import { expect, it } from 'vitest';
import { runCli } from './support/cli.ts';

const commands = [
  '',
  'migrate up',
  'migrate down',
  'migrate redo',
  'migrate status',
  'migrate new',
  'migrate repair',
  'migrate baseline',
  'db create',
  'db drop',
  'db reset',
  'db wait',
  'types generate',
  'types check',
  'seed',
  'test-db create',
  'test-db fill',
  'test-db drop',
  'test-db list',
  'test-db prune',
];

it('docs/commands.md holds the help of every command (npm run docs writes it)', async () => {
  const helps = await Promise.all(
    commands.map(async (command) => {
      const { stdout, code } = await runCli([...command.split(' ').filter(Boolean), '--help'], {
        env: { COLUMNS: '80' },
      });
      expect(code).toBe(0);
      return `## ${`cryptosense-db ${command}`.trim()}\n\n\`\`\`text\n${stdout.trim()}\n\`\`\`\n`;
    }),
  );
  const text = `# Commands\n\nWhat \`--help\` says, command by command.\n\n${helps.join('\n')}`;
  await expect(text).toMatchFileSnapshot('../docs/commands.md');
});
