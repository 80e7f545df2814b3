import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { dump } from 'js-yaml';
import type { Settings } from '../config';
import type { Manifest } from '../policy/rules';
import type { Synthesis } from '../synth';

/** Texts of this length and more are files of the chart. */
const FILE_LENGTH = 500;

const HELPERS = `{{- define "studio.labels" -}}
app.kubernetes.io/name: {{ .name }}
app.kubernetes.io/component: {{ .component }}
app.kubernetes.io/instance: {{ .studio.namespace }}
app.kubernetes.io/part-of: {{ .studio.partOf }}
app.kubernetes.io/managed-by: {{ .studio.managedBy }}
{{- with .version }}
app.kubernetes.io/version: {{ . | quote }}
{{- end }}
{{- end }}
`;

function write(path: string, text: string): void {
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, text);
}

/**
 * The templates that a chart's author would write of one studio's objects, one file each: namespace, host, images, resources and labels
 * come from values and a helper, long texts from files. Returns the values.
 */
function writeStudio(chart: string, name: string, objects: readonly Manifest[], { namespace, host }: Settings): object {
  const images: string[] = [];
  const resources: object[] = [];
  let [partOf, managedBy] = ['', ''];

  const templated = (value: unknown, key: string): unknown => {
    if (typeof value === 'string') {
      if (key === 'namespace' && value === namespace) return '{{ $studio.namespace }}';
      if (key === 'image') return `{{ index $studio.images ${images.includes(value) ? images.indexOf(value) : images.push(value) - 1} }}`;
      return value.replaceAll('{{', '{{ "{{" }}').replaceAll(host, '{{ $studio.host }}');
    }
    if (Array.isArray(value)) return value.map(item => templated(item, ''));
    if (typeof value !== 'object' || value === null) return value;
    if (key === 'resources' && !('requests' in value && 'storage' in (value.requests as object)))
      return `@block toYaml (index $studio.resources ${resources.push(value) - 1})@`;
    if (key === 'labels' && 'app.kubernetes.io/managed-by' in value) return labels(value as Record<string, string>);
    return Object.fromEntries(Object.entries(value).map(([name, child]) => [name, templated(child, name)]));
  };
  const labels = (all: Record<string, string>): unknown => {
    const {
      'app.kubernetes.io/name': labelled,
      'app.kubernetes.io/component': component,
      'app.kubernetes.io/instance': instance,
      'app.kubernetes.io/part-of': part,
      'app.kubernetes.io/managed-by': manager,
      'app.kubernetes.io/version': version,
      ...others
    } = all;
    if (Object.keys(others).length > 0 || instance !== namespace) return all;
    partOf = part as string;
    managedBy = manager as string;
    const given = { name: labelled, component, version };
    const pairs = Object.entries(given).flatMap(([key, value]) => (value ? [`"${key}" "${value}"`] : []));
    return `@block include "studio.labels" (dict "studio" $studio ${pairs.join(' ')})@`;
  };

  objects.forEach((object, index) => {
    const file = `${index}-${object.kind.toLowerCase()}-${object.metadata.name}`;
    const data = object.data && {
      data: Object.fromEntries(
        Object.entries(object.data as Record<string, string>).map(([key, text]) => {
          if (object.kind !== 'ConfigMap' || text.length < FILE_LENGTH || text.endsWith('\n\n')) return [key, templated(text, key)];
          write(join(chart, 'files', name, file, key), text);
          return [key, `@text${text.endsWith('\n') ? '' : '-'} $.Files.Get "files/${name}/${file}/${key}"@`];
        }),
      ),
    };
    const text = dump(
      { ...(templated({ ...object, data: undefined }, '') as object), ...data },
      { lineWidth: -1, noRefs: true, skipInvalid: true },
    )
      .replace(
        /^([ -]*)(\S+:) '?@block (.*)@'?$/gm,
        (_, lead: string, key, call) => `${lead}${key}\n${' '.repeat(lead.length + 2)}{{- ${call} | nindent ${lead.length + 2} }}`,
      )
      .replace(
        /^([ -]*)(\S+:) '?@text(-?) (.*)@'?$/gm,
        (_, lead: string, key, chomp, call) =>
          `${lead}${key} |${chomp}\n${' '.repeat(lead.length + 2)}{{- ${call} | nindent ${lead.length + 2} }}`,
      );
    write(join(chart, 'templates', name, `${file}.yaml`), `{{- $studio := index .Values "${name}" }}\n${text}`);
  });
  return { namespace, host, partOf, managedBy, images, resources };
}

/** Writes one Helm chart of the same objects. */
export function writeHelmChart(chart: string, studios: readonly Synthesis[]): void {
  const values = studios.map(({ environment, settings, manifests }) => [environment, writeStudio(chart, environment, manifests, settings)]);
  write(join(chart, 'Chart.yaml'), dump({ apiVersion: 'v2', name: 'studio', version: '0.1.0' }));
  write(join(chart, 'values.yaml'), dump(Object.fromEntries(values), { noRefs: true }));
  write(join(chart, 'templates/_helpers.tpl'), HELPERS);
}
