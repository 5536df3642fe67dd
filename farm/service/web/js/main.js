/** Joins addresses and views. */

import { start } from "./router.js";
import { farmView } from "./views/farm.js";
import { jobView } from "./views/job.js";
import { submitView } from "./views/submit.js";
import { workersView } from "./views/workers.js";

start([
  [/^\/$/, farmView],
  [/^\/jobs\/([^/]+)(?:\/(frames|film|log|settings|run))?$/, jobView],
  [/^\/new$/, submitView],
  [/^\/workers$/, workersView],
]);
