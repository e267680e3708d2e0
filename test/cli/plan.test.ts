import { describe, expect, it } from 'vitest';
import { callCli } from '../support/cli.ts';
import { fixture, folderFlags } from '../support/fixtures.ts';
import { scratchDatabase } from '../support/recovery.ts';

const folders = folderFlags(fixture('recovery-chain'));

describe('migrate up --dry-run --sql', () => {
  it('prints the script alone on stdout, with --quiet too; --json has the SQL of each step', async () => {
    const { url } = await scratchDatabase();
    const args = ['migrate', 'up', '--dry-run', '--sql', '--steps', '2', '--url', url, ...folders];
    const shown = await callCli(args);
    expect(shown).toMatchObject({ code: 0, stderr: '' });
    expect(shown.stdout).toMatch(/^-- cryptosense-db \S+: apply 2 migrations to /);
    expect(shown.stdout).toMatch(/^\\set ON_ERROR_STOP on$/m);
    expect(await callCli([...args, '--quiet'])).toEqual(shown);

    const { stdout } = await callCli([...args, '--json']);
    const { steps, script } = JSON.parse(stdout);
    expect(script.steps.map(({ version }: { version: string }) => version)).toEqual(
      steps.map(({ version }: { version: string }) => version),
    );
    for (const { sql } of script.steps) {
      expect(shown.stdout).toContain(sql);
      expect(sql).toMatch(/^begin;\n[\s\S]*commit;\n$/);
    }
  });

  it('is refused without --dry-run', async () => {
    const { url } = await scratchDatabase();
    expect(await callCli(['migrate', 'up', '--sql', '--url', url, ...folders])).toMatchObject({
      code: 2,
      stdout: '',
      stderr: expect.stringContaining('hint: add --dry-run to --sql'),
    });
  });
});

describe('migrate plan', () => {
  it('asks for a copy', async () => {
    expect(await callCli(['migrate', 'plan'])).toMatchObject({
      code: 2,
      stdout: '',
      stderr: expect.stringContaining('hint: name it with --on-clone URL'),
    });
  });

  it('prints the table and exits with 0; --json prints the data', async () => {
    const { url, name } = await scratchDatabase();
    await callCli(['migrate', 'up', '--steps', '1', '--env', 'test', '--url', url, ...folders]);
    const first = await callCli(['migrate', 'plan', '--steps', '1', '--on-clone', url, ...folders]);
    expect(first.code).toBe(0);
    expect(first.stdout).toContain(`1 migration applied to `);
    const { code, stdout } = await callCli([
      'migrate',
      'plan',
      '--json',
      '--on-clone',
      url,
      ...folders,
    ]);
    expect(code).toBe(0);
    expect(JSON.parse(stdout)).toMatchObject({ database: name, environment: 'test' });
  });
});
