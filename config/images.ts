import type { Settings } from './schema';

/** An image of somebody else's, pinned by tag and by the digest of its multi-arch index. */
export interface UpstreamImage {
  readonly repository: string;
  readonly tag: string;
  readonly digest: `sha256:${string}`;
}

// renovate: datasource=docker
export const upstreamImages = {
  redis: {
    repository: 'docker.io/library/redis',
    tag: '8.2.3-alpine',
    digest: 'sha256:08ad0b1d280850169a790dba1393ff7a90aef951fc19632cf4d3ce4f78e679ba',
  },
  prometheus: {
    repository: 'docker.io/prom/prometheus',
    tag: 'v3.13.3',
    digest: 'sha256:6976aa8a60fec930796ce5772b8d12da7a318a5daa8d40d69c5c7819a05eeed7',
  },
  alertmanager: {
    repository: 'docker.io/prom/alertmanager',
    tag: 'v0.34.1',
    digest: 'sha256:e9733bafb1bdef9b00e25a21f8f99dc26a22224bf16641ad754d1649f4c3357a',
  },
  grafana: {
    repository: 'docker.io/grafana/grafana',
    tag: '13.1.0',
    digest: 'sha256:121a7a9ece6dc10b969f1f96eed64b4f07dfac0d0b8abc070f7cb83bbde86f63',
  },
  redisExporter: {
    repository: 'docker.io/oliver006/redis_exporter',
    tag: 'v1.86.0',
    digest: 'sha256:2e9795be900db073e9475fdb9c5124db309b07a3e4e75a1770705cb03be1a1c8',
  },
  nginxExporter: {
    repository: 'docker.io/nginx/nginx-prometheus-exporter',
    tag: '1.5.1',
    digest: 'sha256:9f6d963bb2b19d706d401cc3e2c3ea8de2f1c471b96a2156ca45e76f650b1625',
  },
  nodeExporter: {
    repository: 'quay.io/prometheus/node-exporter',
    tag: 'v1.11.1',
    digest: 'sha256:0f422f62c15f154af8d8572b23d623aebfb10cec73a5c654d18f911f3f9df241',
  },
  /** No pod runs it: our image backup takes its binary. */
  restic: {
    repository: 'docker.io/restic/restic',
    tag: '0.18.1',
    digest: 'sha256:39d9072fb5651c80d75c7a811612eb60b4c06b32ffe87c2e9f3c7222e1797e76',
  },
} as const satisfies Record<string, UpstreamImage>;

export const ownImages = ['backend', 'web', 'backup'] as const;
export type OwnImage = (typeof ownImages)[number];

type ImageSettings = Settings['images'];

const taggedImage = ({ registry, version }: ImageSettings, name: OwnImage): string => `${registry}/${name}:${version}`;

export function ownImage(images: ImageSettings, name: OwnImage): string {
  const digest = images.digests[name];
  return digest ? `${taggedImage(images, name)}@${digest}` : taggedImage(images, name);
}

export function upstreamImage({ pin }: ImageSettings, name: keyof typeof upstreamImages): string {
  const { repository, tag, digest }: UpstreamImage = upstreamImages[name];
  return pin === 'digest' ? `${repository}:${tag}@${digest}` : `${repository}:${tag}`;
}

/** How one of our images is built. Paths are relative to the repository. */
export interface ImageBuild {
  readonly image: string;
  readonly dockerfile: string;
  readonly context: string;
  readonly buildArgs: Readonly<Record<string, string>>;
}

/** The backend needs CUDA only where it computes on a GPU. */
const cpuBackend = { BASE_IMAGE: 'docker.io/library/debian:bookworm-slim', REQUIREMENTS: 'cpu' };

function buildArgs({ images, gpu }: Settings, name: OwnImage): Readonly<Record<string, string>> {
  switch (name) {
    case 'backend':
      return gpu.device === 'cpu' ? cpuBackend : {};
    case 'backup':
      return { RESTIC_IMAGE: upstreamImage(images, 'restic') };
    default:
      return {};
  }
}

export const imageBuild = (settings: Settings, name: OwnImage): ImageBuild => ({
  image: taggedImage(settings.images, name),
  dockerfile: `images/${name}/Dockerfile`,
  context: `images/${name}`,
  buildArgs: buildArgs(settings, name),
});
