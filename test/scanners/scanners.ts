import { execFileSync } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';

/** What a scanner says of an object, such as `checkov CKV_K8S_43 Deployment/web`. */
export type Finding = `${'checkov' | 'kube-score'} ${string} ${string}/${string}`;

interface CheckovReport {
  readonly summary: { readonly parsing_errors: number; readonly resource_count: number };
  readonly results: { readonly failed_checks: readonly { check_id: string; resource: string; file_path: string }[] };
}

interface KubeScoreObject {
  readonly type_meta: { readonly kind: string };
  readonly object_meta: { readonly name: string };
  readonly checks: readonly { readonly check: { readonly id: string }; readonly grade: number; readonly skipped: boolean }[];
}

/** kube-score's grade of a check that found nothing; 5 and 1 are its warnings and what it holds for critical. */
const ALL_OK = 10;

/** A scanner ends with 1 when it found something. */
function output(command: string, args: readonly string[]): string {
  try {
    return execFileSync(command, args, { encoding: 'utf8', maxBuffer: 1 << 28, stdio: ['ignore', 'pipe', 'ignore'] });
  } catch (error) {
    const { status, stdout } = error as { status?: number; stdout?: string };
    if (status === 1 && stdout) return stdout;
    throw error;
  }
}

/** Runs checkov once over all folders of manifests in a folder, because it takes its time to start. @returns by folder's name */
export function checkov(folder: string): Map<string, Finding[]> {
  const report: CheckovReport = JSON.parse(
    output('checkov', ['--directory', folder, '--framework', 'kubernetes', '--compact', '--output', 'json']),
  );
  if (report.summary.parsing_errors > 0) throw new Error(`checkov could not read ${report.summary.parsing_errors} files`);
  const found = new Map<string, Finding[]>(readdirSync(folder).map(name => [name, []]));
  for (const { check_id, resource, file_path } of report.results.failed_checks) {
    const [kind, , ...name] = resource.split('.');
    found.get(basename(dirname(file_path)))?.push(`checkov ${check_id} ${kind}/${name.join('.')}`);
  }
  return found;
}

export function kubeScore(folder: string): Finding[] {
  const files = readdirSync(folder).map(file => join(folder, file));
  const objects: KubeScoreObject[] = JSON.parse(output('kube-score', ['score', '--output-format', 'json', ...files]));
  return objects.flatMap(({ type_meta, object_meta, checks }) =>
    checks
      .filter(({ grade, skipped }) => !skipped && grade < ALL_OK)
      .map(({ check }): Finding => `kube-score ${check.id} ${type_meta.kind}/${object_meta.name}`),
  );
}
