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
} as const satisfies Record<string, UpstreamImage>;

export const ownImages = ['backend', 'web'] as const;
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

export const imageBuild = ({ images, gpu }: Settings, name: OwnImage): ImageBuild => ({
  image: taggedImage(images, name),
  dockerfile: `images/${name}/Dockerfile`,
  context: `images/${name}`,
  buildArgs: name === 'backend' && gpu.device === 'cpu' ? cpuBackend : {},
});
