// The door of apiserver: resources and flows over HTTPS, as kubectl and client libraries expect.
export { AccessControl, type AccessControlOptions } from './auth/access-control.ts';
export { ApiServer, type ApiServerOptions, type Listener } from './api-server.ts';
export {
  clientCertificate,
  replaceFile,
  type ServerCertificate,
  serverCertificate,
} from './certificate-authority.ts';
export { AuditFile } from './audit/audit-file.ts';
export { readAuditPolicy } from './audit/audit-policy.ts';
export { Auditor } from './audit/auditor.ts';
export { CertificateKeeper, readCertificate } from './certificate-keeper.ts';
export { FlowLogStore } from './flow-log-store.ts';
export type { FlowQuery, FlowStore } from './flow-store.ts';
export { kubeconfigText } from './kubeconfig-file.ts';
export type { RequestCount, WatchCounts } from './request-counts.ts';
export { Resources } from './resources.ts';
export { seed } from './seed.ts';
export { Tokens, type User } from './auth/tokens.ts';
