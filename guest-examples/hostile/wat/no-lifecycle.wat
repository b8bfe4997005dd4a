;; Has a role and no lifecycle.
;; exports: pipe
(module
  ;; include reply
  ;; include memory
  ;; include realloc
  ;; include run

)
