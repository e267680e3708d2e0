import { execFileSync, spawnSync } from 'node:child_process';
import { readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { parseAllDocuments, parse as parseYaml } from 'yaml';
import { type ScheduleOptions, schedule, schedulers } from '../../src/backup/schedule.ts';
import { errorOf, wordsOf } from '../support/errors.ts';
import { temporaryFolder } from '../support/fixtures.ts';

const names = ['create', 'wal', 'wal-full', 'verify', 'drill', 'check'];
const textOf = (options: ScheduleOptions) =>
  schedule(options)
    .files.map(({ text }) => text)
    .join('\n');
/** What each of the programs expands, and what a shell does. */
const odd = `o'hara "x" $HOME %h $(id) \${{ github.sha }} ","`;

/** Whether the five fields of a line of cron are in their ranges. */
function isCron(expression: string): boolean {
  const ranges = [
    [0, 59],
    [0, 23],
    [1, 31],
    [1, 12],
    [0, 7],
  ] as const;
  const fields = expression.split(' ');
  return (
    fields.length === ranges.length &&
    fields.every((field, at) => {
      const [from, to] = ranges[at] ?? [1, 0];
      return field.split(',').every((part) => {
        const [, number, step] = /^(?:\*|(\d+))(?:\/(\d+))?$/.exec(part) ?? ['', '', ''];
        if (number === '') return false;
        const isIn = number === undefined || (Number(number) >= from && Number(number) <= to);
        return isIn && (step === undefined || Number(step) >= 1);
      });
    })
  );
}

describe('the files of a schedule', () => {
  it.each(schedulers)('of %s run every job, and none has a secret', (scheduler) => {
    const text = textOf({ for: scheduler });
    for (const words of [
      ['backup', 'create'],
      ['backup', 'prune'],
      ['backup', 'wal', 'run', 'incremental'],
      ['backup', 'wal', 'run', 'full'],
      ['backup', 'verify', 'latest'],
      ['backup', 'drill'],
      ['backup', 'check', '--max-age', '26h', '--rpo', '1h'],
    ]) {
      const isThere =
        text.includes(` ${words.join(' ')}`) ||
        text.includes(words.map((word) => `"${word}"`).join(', '));
      expect(isThere, words.join(' ')).toBe(true);
    }
    expect(text).not.toMatch(/:\/\/[^/\s'"]*:[^/\s'"]*@/);
    const keys = [...text.matchAll(/\w*(?:KEY|PASSWORD|SECRET)\w*[=:] *(\S*)/g)];
    for (const [, value = ''] of keys) expect(['', "''", '${{']).toContain(value);
    for (const line of text.split('\n')) expect(line).toBe(line.trimEnd());
  });

  it.each(schedulers)('of %s name the keys of age', (scheduler) => {
    const text = textOf({
      for: scheduler,
      recipients: ['age1a', 'age1b'],
      identityFile: '/run/keys/identity.txt',
    });
    const isSaid = (words: readonly string[]) =>
      text.split(words.join(' ')).length - 1 ||
      text.split(words.map((word) => `"${word}"`).join(', ')).length - 1;
    expect(isSaid(['--recipient', 'age1a', '--recipient', 'age1b'])).toBe(1);
    expect(isSaid(['--identity', '/run/keys/identity.txt'])).toBe(2);
  });

  it.each(schedulers)('of %s without WAL have no job, check or word of it', (scheduler) => {
    const text = textOf({ for: scheduler, wal: false, store: 's3://b/p' });
    expect(text).not.toMatch(/wal|rpo|pgBackRest|postgres-0|BACKUP_SERVER_RUNNER/);
    expect(text).toMatch(/--max-age"?,? "?26h/);
  });

  it('are written into a folder when one is named', () => {
    const out = join(temporaryFolder(), 'a', 'b');
    const { files } = schedule({ for: 'systemd', out });
    expect(readdirSync(out).sort()).toEqual(files.map(({ name }) => name).sort());
    for (const { name, text } of files) expect(readFileSync(join(out, name), 'utf8')).toBe(text);
  });

  it('into a file in place of the folder are refused', async () => {
    const file = join(temporaryFolder(), 'file');
    writeFileSync(file, '');
    await errorOf('file-problem', () => schedule({ for: 'cron', out: join(file, 'units') }));
  });

  it.each<[string, ScheduleOptions, RegExp]>([
    ['a password', { for: 'cron', endpoint: 'https://key:secret@minio' }, /^endpoint has a user/],
    ['a line end', { for: 'cron', database: 'a\nb' }, /^database is empty, or has a control/],
    ['an empty name', { for: 'kubernetes', image: '' }, /^image is empty/],
    ['a program without its path', { for: 'systemd', program: 'db' }, /^program is "db"/],
    ['a folder without its path', { for: 'systemd', store: 'backups' }, /whole path/],
    ['a secret key', { for: 'github', recipients: ['AGE-SECRET-KEY-1X'] }, /secret key of age/],
    ['keys without a path', { for: 'cron', identityFile: 'key.txt' }, /^identityFile is "key.txt"/],
    ['a folder in a container', { for: 'kubernetes', store: '/backups' }, /container of a job/],
  ])('refuse %s', async (_, options, words) => {
    const error = await errorOf('bad-configuration', () => schedule(options));
    expect(wordsOf(error)).toMatch(words);
    expect(wordsOf(error)).not.toMatch(/secret@|KEY-1X/);
  });
});

const hasSystemd = spawnSync('systemd-analyze', ['--version']).status === 0;

describe('the units of systemd', () => {
  const program = process.execPath;

  it('are a service and a timer for each job, and variables to be filled in', () => {
    expect(schedule({ for: 'systemd' }).files.map(({ name }) => name)).toEqual([
      ...names.flatMap((name) => [
        `cryptosense-backup-${name}.service`,
        `cryptosense-backup-${name}.timer`,
      ]),
      'backup.env.example',
      'drill.env.example',
    ]);
  });

  it('take words literally that systemd would expand', () => {
    const text = textOf({ for: 'systemd', database: odd, kmsKey: 'a%b' });
    expect(text).toContain(
      `--database "o'hara \\"x\\" $$HOME %%h $$(id) $\${{ github.sha }} \\",\\""\n`,
    );
    expect(text).toContain('--kms-key a%%b\n');
  });

  it.skipIf(!hasSystemd)(
    `are what systemd-analyze accepts${hasSystemd ? '' : ' (skipped: systemd is not installed)'}`,
    () => {
      const out = temporaryFolder();
      const { files } = schedule({ for: 'systemd', out, program, database: odd });
      const units = files
        .map(({ name }) => name)
        .filter((name) => /\.(?:service|timer)$/.test(name));
      const { status, stderr } = spawnSync('systemd-analyze', ['verify', ...units], {
        cwd: out,
        encoding: 'utf8',
      });
      // Other units of the machine may have faults.
      const faults = stderr.split('\n').filter((line) => line.includes('cryptosense'));
      expect({ status, faults }).toEqual({ status: 0, faults: [] });
      for (const { text } of files) {
        const calendar = /^OnCalendar=(.*)$/m.exec(text)?.[1];
        if (calendar === undefined) continue;
        const answer = execFileSync('systemd-analyze', ['calendar', calendar], {
          encoding: 'utf8',
        });
        expect(answer).toContain('Next elapse:');
      }
    },
  );
});

describe('the file of cron', () => {
  it('has lines with a time, a user and a command that a shell can read', () => {
    const text = textOf({ for: 'cron', database: odd });
    const lines = text.split('\n').filter((line) => /^\d/.test(line));
    expect(lines).toHaveLength(names.length);
    for (const line of lines) {
      const [, time = '', user = '', command = ''] =
        /^((?:\S+ ){4}\S+) (\S+) (.*)$/.exec(line) ?? [];
      expect(isCron(time), time).toBe(true);
      expect(user).toMatch(/^(?:postgres|cryptosense-backup)$/);
      expect(command.replaceAll('\\%', '')).not.toContain('%');
      execFileSync('sh', ['-n', '-c', command.replaceAll('\\%', '%')]);
    }
    expect(text).toMatch(/^CRON_TZ=UTC$/m);
  });

  it('gives the program its words as they are, and speaks of a check only when it fails', () => {
    const folder = temporaryFolder();
    const program = join(folder, 'program');
    writeFileSync(program, '#!/bin/sh\nprintf "%s\\n" "$@"\ntest "$2" != check\n', { mode: 0o755 });
    const text = textOf({ for: 'cron', program, database: odd, store: 's3://b/p' });
    const outputOf = (name: string) => {
      const line = text.split('\n').find((each) => each.includes(` backup ${name} `)) ?? '';
      const command = line
        .replace(/^(?:\S+ ){6}/, '')
        .replaceAll('\\%', '%')
        .replaceAll(/\. \/etc\/\S+/g, 'true');
      return execFileSync('sh', ['-c', command], { encoding: 'utf8' }).trimEnd().split('\n');
    };
    expect(outputOf('verify')).toEqual([
      'backup',
      'verify',
      'latest',
      '--store',
      's3://b/p',
      '--database',
      odd,
    ]);
    expect(outputOf('check')).toContain(odd);
    writeFileSync(program, '#!/bin/sh\necho fine\n');
    expect(outputOf('check')).toEqual(['']);
  });
});

/** What the tests look at, of a CronJob. */
interface CronJob {
  readonly kind: string;
  readonly metadata: { readonly name: string };
  readonly spec: {
    readonly schedule: string;
    readonly timeZone: string;
    readonly jobTemplate: { readonly spec: { readonly template: { readonly spec: Pod } } };
  };
}

interface Pod {
  readonly serviceAccountName?: string;
  readonly initContainers?: readonly Container[];
  readonly containers: readonly Container[];
  readonly volumes?: readonly unknown[];
}

interface Container {
  readonly image: string;
  readonly args?: readonly string[];
  readonly command?: readonly string[];
  readonly volumeMounts?: readonly unknown[];
  readonly envFrom?: readonly { readonly secretRef: { readonly name: string } }[];
}

describe('the manifest of Kubernetes', () => {
  const documentsOf = (options: Omit<ScheduleOptions, 'for'> = {}) =>
    parseAllDocuments(textOf({ for: 'kubernetes', ...options })).map((document) => {
      expect(document.errors).toEqual([]);
      return document.toJS();
    });

  it('has a job for each, in UTC, and an account that may enter one pod', () => {
    const documents = documentsOf({ image: 'ours/db:1' });
    expect(documents.map(({ kind }) => kind)).toEqual([
      ...names.map(() => 'CronJob'),
      'ServiceAccount',
      'Role',
      'RoleBinding',
    ]);
    const jobs: readonly CronJob[] = documents.slice(0, names.length);
    expect(jobs.map(({ metadata }) => metadata.name)).toEqual(
      names.map((name) => `cryptosense-backup-${name}`),
    );
    for (const { spec } of jobs) {
      expect(isCron(spec.schedule), spec.schedule).toBe(true);
      expect(spec.timeZone).toBe('Etc/UTC');
    }
    const pods = jobs.map(({ spec }) => spec.jobTemplate.spec.template.spec);
    expect(pods[0]).toMatchObject({
      initContainers: [{ image: 'ours/db:1', args: ['backup', 'create'] }],
      containers: [{ image: 'ours/db:1', args: ['backup', 'prune'] }],
    });
    expect(pods[1]).toMatchObject({ serviceAccountName: 'cryptosense-backup-wal' });
    expect(pods[1]?.containers[0]?.command?.slice(-4)).toEqual([
      'backup',
      'wal',
      'run',
      'incremental',
    ]);
    expect(pods[4]?.containers[0]?.envFrom?.map(({ secretRef }) => secretRef.name)).toEqual([
      'cryptosense-backup',
      'cryptosense-backup-drill',
    ]);
  });

  it('mounts the secret key of age where the command looks for it', () => {
    const jobs: readonly CronJob[] = documentsOf({ identityFile: '/run/keys/identity.txt' });
    const pods = jobs.slice(0, names.length).map(({ spec }) => spec.jobTemplate.spec.template.spec);
    expect(pods.map(({ volumes }) => volumes?.length ?? 0)).toEqual([0, 0, 0, 1, 1, 0]);
    expect(pods[3]?.containers[0]?.volumeMounts).toEqual([
      {
        name: 'identity',
        mountPath: '/run/keys/identity.txt',
        // Without it the volume would hide the other files of the folder.
        subPath: 'identity.txt',
        readOnly: true,
      },
    ]);
  });

  it('takes words literally that Kubernetes or YAML would change', () => {
    const jobs: readonly CronJob[] = documentsOf({ database: odd });
    const [container] = jobs[3]?.spec.jobTemplate.spec.template.spec.containers ?? [];
    expect(container?.args?.at(-1)).toBe(odd.replace('$(id)', '$$$$(id)'));
  });
});

describe('the workflow of GitHub', () => {
  interface Workflow {
    readonly on: { readonly schedule: readonly { readonly cron: string }[] };
    readonly permissions: Readonly<Record<string, string>>;
    readonly jobs: Readonly<Record<string, Job>>;
  }
  interface Job {
    readonly if: string;
    readonly 'runs-on': string;
    readonly env: Readonly<Record<string, string>>;
    readonly steps: readonly { readonly run?: string; readonly uses?: string }[];
  }
  const workflowOf = (options: Omit<ScheduleOptions, 'for'> = {}): Workflow =>
    parseYaml(textOf({ for: 'github', ...options }));

  it('has a job for each time, and runs only that', () => {
    const { on, jobs, permissions } = workflowOf();
    expect(Object.keys(jobs)).toEqual(names);
    expect(permissions).toEqual({ contents: 'read' });
    for (const [at, { cron }] of on.schedule.entries()) {
      expect(isCron(cron), cron).toBe(true);
      const due = Object.values(jobs).filter((job) => job.if.includes(`'${cron}'`));
      expect(due).toEqual([jobs[names[at] ?? '']]);
    }
    for (const [name, job] of Object.entries(jobs)) {
      const isServer = name.startsWith('wal');
      expect(job['runs-on'] === 'ubuntu-latest').toBe(!isServer);
      expect(job.if.startsWith("vars.BACKUP_SERVER_RUNNER != '' && (")).toBe(isServer);
      for (const value of Object.values(job.env))
        expect(value).toMatch(/^\$\{\{ (?:secrets|vars)\./);
      for (const { run, uses } of job.steps) {
        expect([run, uses].filter((each) => each !== undefined)).toHaveLength(1);
        if (run !== undefined) execFileSync('sh', ['-n', '-c', run]);
      }
    }
    expect(jobs.drill?.env.DATABASE_URL).toBe(`\${{ secrets.DRILL_DATABASE_URL }}`);
  });

  it('writes the secret key of age into a file before it is read', () => {
    const file = join(temporaryFolder(), 'keys', 'identity.txt');
    const { jobs } = workflowOf({ identityFile: file });
    const run = jobs.verify?.steps.find((step) => step.run?.includes('AGE_IDENTITY'))?.run ?? '';
    const programs = temporaryFolder();
    const sudo = '#!/bin/sh\necho "$@" >"$(dirname "$0")/log"\nexec "$@"\n';
    writeFileSync(join(programs, 'sudo'), sudo, { mode: 0o755 });
    execFileSync('sh', ['-euc', run], {
      env: { PATH: `${programs}:${process.env.PATH}`, AGE_IDENTITY: 'KEY' },
    });
    expect(readFileSync(file, 'utf8')).toBe('KEY\n');
    expect(statSync(file).mode & 0o777).toBe(0o600);
    // The runner may not write to a folder such as /etc.
    expect(readFileSync(join(programs, 'log'), 'utf8')).toContain(file);
    expect(jobs.check?.steps.some((step) => step.run?.includes('AGE_IDENTITY'))).toBe(false);
  });

  it('takes words literally that GitHub would expand', () => {
    const { jobs } = workflowOf({ database: odd });
    const run = jobs.verify?.steps.at(-1)?.run ?? '';
    const escaped = `\${{ '\${{' }}`;
    expect(run).toContain(`${escaped} github.sha }}`);
    expect(run.replaceAll(escaped, '')).not.toContain(`\${{`);
  });
});
