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
