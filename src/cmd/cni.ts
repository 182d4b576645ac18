// The CNI plugin as a process. Loads nothing but the plugin, because runtimes wait for it.
import { runPlugin } from '#cni/plugin';

process.exitCode = await runPlugin({
  args: process.argv.slice(2),
  env: process.env,
  stdin: process.stdin,
  stdout: process.stdout,
});
