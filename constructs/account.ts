import { k8s } from 'cdk8s-plus-28';
import { Construct } from 'constructs';

/** Where the client libraries of Kubernetes look for a token. */
const FOLDER = '/var/run/secrets/kubernetes.io/serviceaccount';
const TOKEN_SECONDS = 3600;

export interface AccountProps {
  readonly name: string;
  readonly namespace: string;
  /** What it may do in the namespace. */
  readonly rules: k8s.PolicyRule[];
}

/** A ServiceAccount with rights in the namespace. Only a container that mounts its token has them, for an hour at a time. */
export class Account extends Construct {
  readonly name: string;
  readonly volume: k8s.Volume = {
    name: 'service-account',
    projected: {
      defaultMode: 0o440,
      sources: [
        { serviceAccountToken: { path: 'token', expirationSeconds: TOKEN_SECONDS } },
        { configMap: { name: 'kube-root-ca.crt', items: [{ key: 'ca.crt', path: 'ca.crt' }] } },
      ],
    },
  };
  readonly mount: k8s.VolumeMount = { name: this.volume.name, mountPath: FOLDER, readOnly: true };

  constructor(scope: Construct, id: string, { name, namespace, rules }: AccountProps) {
    super(scope, id);
    this.name = name;
    const account = new k8s.KubeServiceAccount(this, 'service-account', { metadata: { name }, automountServiceAccountToken: false });
    const role = new k8s.KubeRole(this, 'role', { metadata: { name }, rules });
    new k8s.KubeRoleBinding(this, 'role-binding', {
      metadata: { name },
      roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: role.kind, name: role.name },
      subjects: [{ kind: account.kind, name: account.name, namespace }],
    });
  }
}
