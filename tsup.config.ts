import { defineConfig } from 'tsup';

export default defineConfig({
  entry: { cli: 'src/cli.ts', index: 'src/index.ts' },
  format: 'esm',
  target: 'node20',
  splitting: true,
  clean: true,
  dts: { entry: { index: 'src/index.ts' } },
});
