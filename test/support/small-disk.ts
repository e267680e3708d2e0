import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { onTestFinished } from 'vitest';

export interface SmallDisk {
  /** How much it holds. */
  readonly bytes: number;
  /** The user that it belongs to. Default: root. */
  readonly uid?: number;
}

function mountDisk({
  bytes,
  uid = 0,
}: SmallDisk): { folder: string; unmount: () => void } | undefined {
  const folder = mkdtempSync(join(tmpdir(), 'cryptosense-db-disk-'));
  const settings = `size=${bytes},mode=700,uid=${uid}`;
  const { status } = spawnSync('mount', ['-t', 'tmpfs', '-o', settings, 'tmpfs', folder]);
  const remove = () => rmSync(folder, { recursive: true, force: true });
  if (status !== 0) {
    remove();
    return undefined;
  }
  return {
    folder,
    unmount: () => {
      spawnSync('umount', ['--lazy', folder]);
      remove();
    },
  };
}

const probe = mountDisk({ bytes: 4_096 });
probe?.unmount();

/** False: this user may not mount a file system. */
export const hasSmallDisk = probe !== undefined;
export const smallDiskNote = hasSmallDisk ? '' : ' (skipped: no file system can be mounted here)';

/** The folder of a file system of the test's own, in memory, that holds so many bytes. */
export function smallDisk(options: SmallDisk): string {
  const disk = mountDisk(options);
  if (disk === undefined) throw new Error('no file system can be mounted here');
  onTestFinished(disk.unmount);
  return disk.folder;
}
