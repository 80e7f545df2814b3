import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { ConfigMap, type k8s } from 'cdk8s-plus-28';
import { Construct } from 'constructs';
import { ROOT } from '../root';

const FILES = join(ROOT, 'files');

/** Values of a file's placeholders. */
export type Values = Readonly<Record<string, string | number>>;

/**
 * Fills `{{name}}` in a text.
 *
 * @throws Error when the text has a placeholder without a value, or a value is not used.
 */
export function fill(text: string, values: Values, file: string): string {
  const unused = new Set(Object.keys(values));
  const filled = text.replace(/\{\{(\w+)\}\}/g, (_, name: string) => {
    const value = values[name];
    if (value === undefined) throw new Error(`${file}: no value for {{${name}}}`);
    unused.delete(name);
    return String(value);
  });
  if (unused.size > 0) throw new Error(`${file}: no placeholder for ${[...unused].join(', ')}`);
  return filled;
}

/** A file below files/, filled. */
export const configFile = (file: string, values: Values = {}): string => fill(readFileSync(join(FILES, file), 'utf8'), values, file);

export interface ConfigFilesProps {
  readonly name: string;
  /** Files below files/, each with the values of its placeholders. */
  readonly files: Readonly<Record<string, Values>>;
}

/** A ConfigMap of files, each under its own name. */
export class ConfigFiles extends Construct {
  readonly volume: k8s.Volume;
  /** Changes with the content, so that pods roll with it. */
  readonly checksum: string;

  constructor(scope: Construct, id: string, props: ConfigFilesProps) {
    super(scope, id);
    const data = Object.fromEntries(
      Object.entries(props.files).map(([file, values]) => [file.split('/').at(-1) as string, configFile(file, values)]),
    );
    new ConfigMap(this, 'map', { metadata: { name: props.name }, data });
    this.checksum = checksum(data);
    this.volume = { name: 'config', configMap: { name: props.name, defaultMode: 0o444 } };
  }
}

/** A short digest of what configures a pod. */
export const checksum = (data: unknown): string => createHash('sha256').update(JSON.stringify(data)).digest('hex').slice(0, 16);
