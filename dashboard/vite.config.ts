import { defineConfig } from 'vite'

export default defineConfig({
  base: '/',
  esbuild: { jsx: 'automatic', jsxImportSource: 'preact' },
  build: {
    modulePreload: false,
    assetsInlineLimit: 0,
    rollupOptions: { output: { entryFileNames: 'dashboard/app.js', assetFileNames: 'dashboard/[name][extname]', inlineDynamicImports: true } },
  },
})
