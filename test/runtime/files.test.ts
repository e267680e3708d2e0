import { execFileSync } from 'node:child_process';
import { existsSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { makeFolder, readSecret, readText } from '../../src/runtime/files.ts';
import { errorOf } from '../support/errors.ts';
import { temporaryFolder } from '../support/fixtures.ts';

describe('readText', () => {
  it('gives the text of a file and of a link to one, and undefined without a file', () => {
    const folder = temporaryFolder();
    writeFileSync(join(folder, 'a'), 'é\n');
    symlinkSync('a', join(folder, 'b'));
    symlinkSync('absent', join(folder, 'c'));
    expect(['a', 'b', 'c'].map((name) => readText(join(folder, name)))).toEqual([
      'é\n',
      'é\n',
      undefined,
    ]);
  });

  it.runIf(existsSync('/dev/zero'))(
    'refuses what is no regular file, and waits for nothing',
    async () => {
      const folder = temporaryFolder();
      execFileSync('mkfifo', [join(folder, 'fifo')]);
      for (const path of [join(folder, 'fifo'), '/dev/zero', folder]) {
        const { details } = await errorOf('file-problem', async () => readText(path));
        expect(details).toEqual({ path });
      }
    },
  );
});

describe('readSecret', () => {
  const written = (text: string) => {
    const file = join(temporaryFolder(), 'secret');
    writeFileSync(file, text);
    return file;
  };

  it.each(['a b ', 'a b \n', 'a b \r\n\n'])('gives %j without the line ends behind it', (text) => {
    expect(readSecret(written(text))).toBe('a b ');
  });

  it('refuses a file without a secret, and one that is not there', async () => {
    for (const path of [written(''), written('\n'), join(temporaryFolder(), 'absent')]) {
      const { details } = await errorOf('file-problem', async () => readSecret(path));
      expect(details).toEqual({ path });
    }
  });
});

describe('makeFolder', () => {
  it('creates a folder with those above it, and leaves one that exists', () => {
    const folder = join(temporaryFolder(), 'a', 'b');
    makeFolder(folder);
    makeFolder(folder);
    expect(statSync(folder).isDirectory()).toBe(true);
  });

  it('refuses a place below a file', () => {
    const file = join(temporaryFolder(), 'a');
    writeFileSync(file, '');
    expect(() => makeFolder(join(file, 'b', 'c'))).toThrow(/ENOTDIR|EEXIST/);
  });
});
