// YAML as Kubernetes' own reader takes it: version 1.1, but for times and numbers to the base 60.
import { parse, type Tags } from 'yaml';

/** A number has a digit before its exponent: `e1` and `.` are names, as for Kubernetes' own reader. */
const DIGIT_AHEAD = '(?=[-+]?[0-9_.]*[0-9])';

/** As in Kubernetes' own reader, times stay texts and `80:90` is no number to the base 60. */
function kubernetesTags(tags: Tags): Tags {
  return tags.flatMap((tag): Tags => {
    if (typeof tag === 'string') return tag !== 'timestamp' && !tag.endsWith('Time') ? [tag] : [];
    if (tag.tag === 'tag:yaml.org,2002:timestamp') return [];
    if ('format' in tag && tag.format === 'TIME') return [];
    const isNumber = tag.tag === 'tag:yaml.org,2002:float' && 'test' in tag;
    if (!isNumber || !tag.test || tag.test.test('.inf')) return [tag];
    return [{ ...tag, test: new RegExp(`${DIGIT_AHEAD}${tag.test.source}`) }];
  });
}

/** For the parsers of the package `yaml`. */
export const KUBERNETES_YAML = { version: '1.1', customTags: kubernetesTags } as const;

/** One document as a JSON value; throws where it is no YAML. */
export function parseKubernetesYaml(text: string): unknown {
  const limits = { maxAliasCount: 100, prettyErrors: false, logLevel: 'error' } as const;
  return parse(text, { ...KUBERNETES_YAML, ...limits }) as unknown;
}
