// Times as Kubernetes' objects hold them.

/** RFC 3339 in seconds; `now` is in milliseconds since 1970. */
export function timestamp(now: number): string {
  return `${new Date(now).toISOString().slice(0, 19)}Z`;
}
