import { Chalk } from 'chalk';
import { expect, it } from 'vitest';
import type { Examination } from '../../src/doctor/doctor.ts';
import { renderExamination } from '../../src/ui/doctor.ts';

const chalk = new Chalk({ level: 0 });
const result: Examination = {
  target: 'localhost/shop',
  at: new Date('2026-01-02T03:04:05Z'),
  findings: [
    {
      rule: 'job-fails',
      severity: 'critical',
      message: 'job 7 (tidy_up) fails: 1 time in a row, 3 in all',
      evidence: ['the last error: \u001b[31mno room\nfor more'],
      hint: 'run it and see: call run_job(7)',
    },
  ],
  unseen: [
    {
      topic: 'roles',
      rules: ['md5-passwords'],
      reason: 'the role may not see how passwords are stored',
      remedy: 'ask as a superuser',
    },
  ],
  sound: ['fsync-off'],
  notApplicable: [],
  isSound: false,
};

it('a finding has its evidence, what to do and where to read on, without control characters', () => {
  expect(renderExamination(result, { chalk, columns: undefined })).toBe(
    [
      'critical  job 7 (tidy_up) fails: 1 time in a row, 3 in all',
      '          the last error: [31mno room for more',
      '          do: run it and see: call run_job(7)',
      '          why: docs/doctor.md#job-fails',
      '',
      'not seen  roles: the role may not see how passwords are stored; ask as a superuser',
      '',
      'localhost/shop: 1 critical, 1 rule found nothing, 1 not seen in full: not sound',
      '',
    ].join('\n'),
  );
});

it('every finding fits into a narrow terminal', () => {
  const lines = renderExamination(result, { chalk, columns: 50 }).split('\n');
  for (const line of lines.slice(0, -2)) expect(line.length).toBeLessThanOrEqual(50);
  expect(lines.slice(0, 2)).toEqual([
    'critical  job 7 (tidy_up) fails: 1 time in a row,',
    '          3 in all',
  ]);
});

it('what is not seen is not called sound without a reserve', () => {
  const quiet = { ...result, findings: [], isSound: true };
  const look = { chalk, columns: undefined };
  expect(renderExamination(quiet, look)).toContain(': sound as far as seen\n');
  expect(renderExamination({ ...quiet, unseen: [] }, look)).toContain(': sound\n');
});
