#!/usr/bin/env node
// A file of its own, so that npm can link it before the sources are compiled.
import '../dist/main.js';
