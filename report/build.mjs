// Builds shadow_analytics_report.html, the page of analytics.report_page(): one file, no request to anywhere.
import { createHash } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { build } from 'esbuild';

const output = 'shadow_analytics_report.html';
const placeholder = '@REPORT@'; // src/core/report writes the data here
const largest = 800_000;

const bundle = async (entry, options) => {
    const result = await build({
        entryPoints: [entry], bundle: true, minify: true, write: false, charset: 'ascii', legalComments: 'none', ...options,
    });
    return result.outputFiles[0].text.trim();
};

const script = await bundle('src/main.js', { format: 'iife', target: 'es2020' });
const style = await bundle('src/page.css', {});
const parts = {
    '@STYLE@': style,
    '@SCRIPT@': script,
    '@SCRIPT_HASH@': createHash('sha256').update(script).digest('base64'),
};
const page = readFileSync('src/page.html', 'utf8').replace(/@[A-Z_]+@/g, (name) => parts[name] ?? name);

const fail = (why) => { console.error(`build.mjs: ${why}`); process.exit(1); };
if (page.split(placeholder).length !== 2) fail(`${placeholder} must stand in the page exactly once`);
if (/[^\x00-\x7f]/.test(page)) fail('the page must be plain ASCII, whatever encoding the server has');
if (script.includes('</script')) fail('the script must not contain </script');
if (page.length > largest) fail(`the page has ${page.length} bytes, more than ${largest}`);
writeFileSync(output, page);
console.log(`${output}: ${Math.round(page.length / 1000)} kB`);
