import { basename } from 'node:path';
import { quoteShellWord } from '../runtime/shell-words.ts';

export interface ScheduledJob {
  readonly name: string;
  readonly summary: string;
  /** In UTC. */
  readonly cron: string;
  /** The same in the terms of systemd. */
  readonly calendar: string;
  /** Words after the program's name. The first one that fails ends the job. */
  readonly commands: readonly (readonly string[])[];
  /** `server`: on the host of PostgreSQL, as its user, because pgBackRest reads the data folder. */
  readonly on: 'client' | 'server' | 'drill';
  /** The file of secret keys that a word of the command names. */
  readonly identityFile?: string | undefined;
}

export interface ScheduleFile {
  /** Without a folder. */
  readonly name: string;
  readonly text: string;
}

const folder = '/etc/cryptosense-db';
const state = 'cryptosense-backup';
const user = 'cryptosense-backup';

/** In the comments of the files. */
const withoutWal = `Where pgBackRest does not archive the
# WAL, as on a managed server with point-in-time recovery of its own, write these files with --no-wal.`;

function hasWal(jobs: readonly ScheduledJob[]): boolean {
  return jobs.some(({ on }) => on === 'server');
}

/** A service and a timer for each job, and the two files of variables, to be filled in. */
export function systemdFiles(
  jobs: readonly ScheduledJob[],
  { program }: { readonly program: string },
): readonly ScheduleFile[] {
  const units = jobs.flatMap((job): readonly ScheduleFile[] => {
    const unit = `cryptosense-backup-${job.name}`;
    const lines = job.commands.map((words) => {
      const report = job.on === 'drill' ? ` --report \${STATE_DIRECTORY}/drill.md` : '';
      return `ExecStart=${[program, ...words].map(systemdWord).join(' ')}${report}`;
    });
    const service = `# /etc/systemd/system/${unit}.service
[Unit]
Description=CryptoSense: ${job.summary}
Wants=network-online.target
After=network-online.target

[Service]
Type=oneshot
User=${job.on === 'server' ? 'postgres' : user}
EnvironmentFile=${folder}/backup.env
${job.on === 'drill' ? `EnvironmentFile=${folder}/drill.env\nStateDirectory=${state}\n` : ''}${lines.join('\n')}
NoNewPrivileges=yes
ProtectSystem=full
UMask=0077
`;
    const timer = `# /etc/systemd/system/${unit}.timer
[Unit]
Description=CryptoSense: ${job.summary}

[Timer]
OnCalendar=${job.calendar}
Persistent=true

[Install]
WantedBy=timers.target
`;
    return [
      { name: `${unit}.service`, text: service },
      { name: `${unit}.timer`, text: timer },
    ];
  });
  const names = jobs.map(({ name }) => name).join(',');
  const backupVariables = `# ${folder}/backup.env: the variables of all jobs. systemd reads it as root.
#   useradd --system --user-group ${user}
#   install -D -m 600 backup.env.example ${folder}/backup.env
#   install -D -m 600 drill.env.example ${folder}/drill.env
# Fill in both files. Then:
#   cp cryptosense-backup-*.service cryptosense-backup-*.timer /etc/systemd/system/
#   systemctl daemon-reload
#   systemctl enable --now cryptosense-backup-{${names}}.timer
${
  hasWal(jobs)
    ? `# The jobs wal and wal-full run on the host of PostgreSQL, after \`backup wal config\`. ${withoutWal}\n`
    : ''
}# \`systemctl --failed\` shows a job that failed; OnFailure= in a unit can tell a person.
${variables}`;
  return [
    ...units,
    { name: 'backup.env.example', text: backupVariables },
    {
      name: 'drill.env.example',
      text: `# ${folder}/drill.env: read after backup.env. ${drillVariable}`,
    },
  ];
}

const variables = `DATABASE_URL='postgresql://backup@db.example:5432/cryptosense?sslmode=verify-full'
#PGPASSWORD=''
BACKUP_STORE='s3://bucket/prefix'
# What the SDK of AWS reads. A role of the machine needs no keys.
#AWS_REGION=''
#AWS_ACCESS_KEY_ID=''
#AWS_SECRET_ACCESS_KEY=''
`;

const drillVariable = `The server that the drill restores on, never production.
DATABASE_URL='postgresql://drill@staging.example:5432/postgres?sslmode=verify-full'
#PGPASSWORD=''
`;

/** One file for /etc/cron.d. */
export function cronFiles(
  jobs: readonly ScheduledJob[],
  { program }: { readonly program: string },
): readonly ScheduleFile[] {
  const commented = (text: string) => text.trimEnd().replaceAll(/^/gm, '#   ');
  const lines = jobs.flatMap(({ summary, cron, commands, on, name }) => {
    const files = [`${folder}/backup.env`, ...(on === 'drill' ? [`${folder}/drill.env`] : [])];
    const report = on === 'drill' ? ['--report', `/var/lib/${state}/drill.md`] : [];
    const calls = commands.map((words) => {
      // cron mails what a job prints. These jobs are there for their answer.
      const isAnswer = ['verify', 'drill', 'check'].includes(name);
      const all = [program, ...words, ...report, ...(isAnswer ? [] : ['--quiet'])];
      return all.map(cronWord).join(' ');
    });
    const work = ['set -a', ...files.map((file) => `. ${file}`), ...calls].join(' && ');
    // The check says something only when it fails: a mail every hour would not be read.
    const line = name === 'check' ? `answer=$(${work} 2>&1) || echo "$answer"` : work;
    return [`# ${summary}`, `${cron} ${on === 'server' ? 'postgres' : user} ${line}`];
  });
  const text = `# /etc/cron.d/cryptosense-backup
#
# Debian's cron does not know CRON_TZ and takes the zone of the machine: set that to UTC, or use systemd's timers.
${
  hasWal(jobs)
    ? `# The jobs of the user postgres run on the host of PostgreSQL, after \`backup wal config\`. ${withoutWal}\n`
    : ''
}#
#   useradd --system --user-group ${user} && usermod --append --groups ${user} postgres
#   install -d -m 750 -g ${user} ${folder}
#   install -d -m 750 -o ${user} /var/lib/${state}
#
# ${folder}/backup.env, of mode 640 and the group ${user}:
${commented(variables)}
#
# ${folder}/drill.env, of the same mode and group. ${commented(drillVariable).slice('#   '.length)}
#
MAILTO=root
CRON_TZ=UTC
SHELL=/bin/sh
PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin

${lines.join('\n')}
`;
  return [{ name: 'cryptosense-backup', text }];
}

/** One manifest with a CronJob for each job. */
export function kubernetesFiles(
  jobs: readonly ScheduledJob[],
  { image }: { readonly image: string },
): readonly ScheduleFile[] {
  const documents = jobs.map((job) => cronJob(job, image));
  const identityFile = jobs.find((job) => job.identityFile !== undefined)?.identityFile;
  const identity =
    identityFile === undefined
      ? ''
      : `#   kubectl create secret generic cryptosense-backup-identity --from-file=${quoteShellWord(basename(identityFile))}\n`;
  const text = `# kubectl apply -f cryptosense-backup.yaml
#
# The image has cryptosense-db as its entry point, and the client programs of PostgreSQL 15. Both secrets are of the
# namespace of the jobs, and hold DATABASE_URL; the first one BACKUP_STORE, AWS_REGION and keys too. That of the drill
# names a server that is not production.
#
#   kubectl create secret generic cryptosense-backup --from-env-file=backup.env
#   kubectl create secret generic cryptosense-backup-drill --from-env-file=drill.env
${identity}#
# kubectl takes the values in these files as they are written: without quotes.
${
  hasWal(jobs)
    ? `# The jobs wal and wal-full run in the container of PostgreSQL, which has cryptosense-db and pgBackRest for them: here the
# container postgres of the pod postgres-0. ${withoutWal}\n`
    : ''
}${[...documents, ...(hasWal(jobs) ? [serverAccount] : [])].map((document) => `---\n${document}`).join('')}`;
  return [{ name: 'cryptosense-backup.yaml', text }];
}

function cronJob(job: ScheduledJob, image: string): string {
  const { name, summary, cron, commands, on, identityFile } = job;
  const containers = commands.map((words) =>
    container({
      name: words[1] ?? name,
      identityFile,
      ...(on === 'server'
        ? {
            image: 'registry.k8s.io/kubectl:v1.34.1',
            run: `command: ${yamlList([...inServer, 'cryptosense-db', ...words])}`,
            secrets: [],
          }
        : {
            image,
            run: `args: ${yamlList(words.map(kubernetesWord))}`,
            secrets: [
              'cryptosense-backup',
              ...(on === 'drill' ? ['cryptosense-backup-drill'] : []),
            ],
          }),
    }),
  );
  // Containers start together, and those before them one after the other.
  const before = containers.slice(0, -1);
  const account =
    on === 'server'
      ? 'serviceAccountName: cryptosense-backup-wal'
      : 'automountServiceAccountToken: false';
  return `# ${summary}
apiVersion: batch/v1
kind: CronJob
metadata:
  name: cryptosense-backup-${name}
  labels:
    app.kubernetes.io/name: cryptosense-backup
spec:
  schedule: "${cron}"
  timeZone: Etc/UTC
  concurrencyPolicy: Forbid
  startingDeadlineSeconds: 3600
  successfulJobsHistoryLimit: 1
  failedJobsHistoryLimit: 3
  jobTemplate:
    spec:
      backoffLimit: 0
      template:
        metadata:
          labels:
            app.kubernetes.io/name: cryptosense-backup
        spec:
          restartPolicy: Never
          ${account}
          securityContext:
            runAsNonRoot: true
            runAsUser: 1000
            runAsGroup: 1000
            seccompProfile:
              type: RuntimeDefault
${before.length > 0 ? `          initContainers:\n${before.join('')}` : ''}          containers:
${containers.at(-1) ?? ''}${identityFile === undefined ? '' : identityVolume}`;
}

const identityVolume = `          volumes:
            - name: identity
              secret:
                secretName: cryptosense-backup-identity
`;

const inServer = ['kubectl', 'exec', 'postgres-0', '--container', 'postgres', '--'];

interface Container {
  readonly name: string;
  readonly image: string;
  readonly run: string;
  /** The later one wins. */
  readonly secrets: readonly string[];
  readonly identityFile: string | undefined;
}

function container({ name, image, run, secrets, identityFile }: Container): string {
  const mounts =
    identityFile === undefined
      ? ''
      : `              volumeMounts:
                - name: identity
                  mountPath: ${JSON.stringify(identityFile)}
                  subPath: ${JSON.stringify(basename(identityFile))}
                  readOnly: true
`;
  const variables = secrets.map(
    (secret) => `                - secretRef:
                    name: ${secret}
`,
  );
  return `            - name: ${name}
              image: ${JSON.stringify(image)}
              ${run}
${variables.length > 0 ? `              envFrom:\n${variables.join('')}` : ''}${mounts}              securityContext:
                allowPrivilegeEscalation: false
                capabilities:
                  drop: ["ALL"]
`;
}

const serverAccount = `apiVersion: v1
kind: ServiceAccount
metadata:
  name: cryptosense-backup-wal
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata:
  name: cryptosense-backup-wal
rules:
  - apiGroups: [""]
    resources: ["pods"]
    resourceNames: ["postgres-0"]
    verbs: ["get"]
  - apiGroups: [""]
    resources: ["pods/exec"]
    resourceNames: ["postgres-0"]
    verbs: ["get", "create"]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata:
  name: cryptosense-backup-wal
roleRef:
  apiGroup: rbac.authorization.k8s.io
  kind: Role
  name: cryptosense-backup-wal
subjects:
  - kind: ServiceAccount
    name: cryptosense-backup-wal
`;

/** One workflow with a job for each job. */
export function githubFiles(
  jobs: readonly ScheduledJob[],
  { version }: { readonly version: string },
): readonly ScheduleFile[] {
  const sections = jobs.map(({ name, summary, cron, commands, on, identityFile }) => {
    const isDue = `github.event.schedule == '${cron}' || inputs.job == '${name}'`;
    const isServer = on === 'server';
    const steps = [
      ...(isServer ? [] : [setUp.replace('VERSION', version)]),
      ...(identityFile === undefined ? [] : [writeIdentity(identityFile)]),
      ...commands.map((words) => {
        const report = on === 'drill' ? ['--report', 'drill-report.md'] : [];
        return `      - run: |\n          ${['cryptosense-db', ...words, ...report].map(githubWord).join(' ')}`;
      }),
      ...(on === 'drill' ? [keepReport] : []),
    ];
    return `  # ${summary}
  ${name}:
    if: ${isServer ? `vars.BACKUP_SERVER_RUNNER != '' && (${isDue})` : isDue}
    runs-on: ${isServer ? `\${{ vars.BACKUP_SERVER_RUNNER }}` : 'ubuntu-latest'}
    timeout-minutes: 350
    concurrency: backup-${name}
    env:
      DATABASE_URL: \${{ secrets.${on === 'drill' ? 'DRILL_DATABASE_URL' : 'BACKUP_DATABASE_URL'} }}
      BACKUP_STORE: \${{ vars.BACKUP_STORE }}
      AWS_REGION: \${{ vars.AWS_REGION }}
      AWS_ACCESS_KEY_ID: \${{ secrets.AWS_ACCESS_KEY_ID }}
      AWS_SECRET_ACCESS_KEY: \${{ secrets.AWS_SECRET_ACCESS_KEY }}
    steps:
${steps.join('\n')}
`;
  });
  const hasIdentity = jobs.some(({ identityFile }) => identityFile !== undefined);
  const text = `# .github/workflows/backup.yml
#
# Secrets of the repository: BACKUP_DATABASE_URL, AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, and DRILL_DATABASE_URL for a
# server that is not production${hasIdentity ? '; AGE_IDENTITY' : ''}. Variables: BACKUP_STORE, AWS_REGION. The runner has to reach both servers.
${
  hasWal(jobs)
    ? `# BACKUP_SERVER_RUNNER is the label of a runner on the host of PostgreSQL, as its user, with cryptosense-db and
# pgBackRest. Without it the jobs wal and wal-full are skipped. ${withoutWal}\n`
    : ''
}# GitHub starts scheduled jobs late at times, and stops them after 60 days without a commit in a public repository.
name: backup

on:
  schedule:
${jobs.map(({ name, cron }) => `    - cron: "${cron}" # ${name}`).join('\n')}
  workflow_dispatch:
    inputs:
      job:
        description: The job to run
        type: choice
        required: true
        options: [${jobs.map(({ name }) => name).join(', ')}]

permissions:
  contents: read

jobs:
${sections.join('\n')}`;
  return [{ name: 'backup.yml', text }];
}

const setUp = `      - uses: actions/setup-node@v4
        with:
          node-version: 22
      - name: The client programs of PostgreSQL 15
        run: |
          sudo apt-get update
          sudo apt-get install --yes postgresql-common
          sudo /usr/share/postgresql-common/pgdg/apt.postgresql.org.sh -y
          sudo apt-get install --yes postgresql-client-15
      - run: npm install --global cryptosense-db@VERSION`;

function writeIdentity(file: string): string {
  const path = githubWord(file);
  return `      - name: The secret key of age
        env:
          AGE_IDENTITY: \${{ secrets.AGE_IDENTITY }}
        run: |
          sudo install -D -m 600 -o "$(id -un)" /dev/null ${path}
          printf '%s\\n' "$AGE_IDENTITY" > ${path}`;
}

const keepReport = `      - uses: actions/upload-artifact@v4
        if: always()
        with:
          name: drill-report
          path: drill-report*`;

/** systemd expands `%` and `$` in quotes too. */
function systemdWord(word: string): string {
  const literal = word.replaceAll('%', '%%').replaceAll('$', '$$$$');
  return /^[\w./:@=,+%-]+$/.test(word) ? literal : `"${literal.replaceAll(/["\\]/g, '\\$&')}"`;
}

/** cron makes a new line of `%`. */
function cronWord(word: string): string {
  return quoteShellWord(word).replaceAll('%', '\\%');
}

/** A text of JSON is one of YAML. */
function yamlList(words: readonly string[]): string {
  return `[${words.map((word) => JSON.stringify(word)).join(', ')}]`;
}

/** Kubernetes expands `$(NAME)`. */
function kubernetesWord(word: string): string {
  return word.replaceAll('$(', '$$$$(');
}

/** GitHub expands `${{ … }}` before the shell sees it. */
function githubWord(word: string): string {
  return quoteShellWord(word).replaceAll(`\${{`, `\${{ '\${{' }}`);
}
