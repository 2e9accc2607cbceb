/**
 * Begins the picture, once its module is there; tests make one without it.
 */

import { Picture } from "./status.js";

new Picture().start();
