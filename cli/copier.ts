import { CommandError } from './errors';
import { succeeds } from './images';

/** Copies an image between registries, all platforms of it, without changing a byte. Names are as in `registry/path@digest`. */
export interface Copier {
  readonly name: string;
  readonly copyCommand: (from: string, to: string) => readonly string[];
}

const copiers: readonly (Copier & { readonly probe: readonly string[] })[] = [
  { name: 'crane', probe: ['crane', 'version'], copyCommand: (from, to) => ['crane', 'copy', from, to] },
  {
    name: 'skopeo',
    probe: ['skopeo', '--version'],
    copyCommand: (from, to) => ['skopeo', 'copy', '--all', '--preserve-digests', `docker://${from}`, `docker://${to}`],
  },
  { name: 'regctl', probe: ['regctl', 'version'], copyCommand: (from, to) => ['regctl', 'image', 'copy', from, to] },
];

/** @throws CommandError when there is none. */
export async function findCopier(environment: Readonly<Record<string, string | undefined>> = process.env): Promise<Copier> {
  for (const copier of copiers) if (await succeeds(copier.probe, environment)) return copier;
  throw new CommandError(
    `None of ${copiers.map(({ name }) => name).join(', ')} is installed`,
    'install one, such as by: go install github.com/google/go-containerregistry/cmd/crane@v0.22.1',
  );
}
