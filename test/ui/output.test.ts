import { stripVTControlCharacters } from 'node:util';
import { describe, expect, it } from 'vitest';
import { callCli } from '../support/cli.ts';
import { fixture, folderFlags, temporaryFolder } from '../support/fixtures.ts';

const faulty = [
  'migrate',
  'up',
  '--url',
  'postgresql://user:hunter2@127.0.0.1:1/d',
  ...folderFlags(fixture('folder-everything')),
];

describe('an error that comes before a connection', () => {
  it('is text on stderr, without colour in a pipe, and nothing on stdout', async () => {
    const { code, stdout, stderr } = await callCli(faulty);
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
    expect(stripVTControlCharacters(stderr)).toBe(stderr);
    expect(stderr.match(/20250107_120000_void\S* is empty/g)).toHaveLength(2);
    expect(stderr).not.toContain('hunter2');
  });

  it('is one JSON document on stdout with --json, and nothing on stderr', async () => {
    const { code, stdout, stderr } = await callCli([...faulty, '--json']);
    expect({ code, stderr }).toEqual({ code: 2, stderr: '' });
    expect(JSON.parse(stdout)).toMatchObject({ error: { code: 'faulty-folder' } });
    expect(stdout).not.toContain('hunter2');
  });

  it('is printed with --quiet too', async () => {
    const { code, stdout, stderr } = await callCli([...faulty, '--quiet']);
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
    expect(stderr).toContain('is empty');
  });

  it('includes its stack with --verbose', async () => {
    expect((await callCli([...faulty, '--verbose'])).stderr).toMatch(/\n\s+at /);
  });

  it('lists the ways to name a target and the hint when the target is missing', async () => {
    const { code, stderr } = await callCli(['migrate', 'status'], { cwd: temporaryFolder() });
    expect(code).toBe(2);
    expect(stderr).toMatch(/^no database is named\n( {2}.+\n){4}hint: .+\n$/);
  });
});
