/* What a call returns where it did not do what it says. */
enum {
    MODEL_OK = 0,
    MODEL_NO_WEIGHTS = -1,  /* MODEL_attach has not been called */
    MODEL_BAD_WEIGHTS = -2, /* not the weights of this model, cut short, or not aligned as floats are */
    MODEL_BAD_INPUT = -3,   /* a number out of range, or not finite */
    MODEL_BAD_STATE = -4,   /* not a saved state, or cut short */
    MODEL_OTHER_MODEL = -5, /* a saved state, of another model */
    MODEL_NO_ROOM = -6      /* the caller's memory is too small */
};

/* A stream in progress. It holds no pointers: a copy of it is a stream of its own. */
typedef struct {
    uint64_t steps; /* taken so far */
    float carried[MODEL_CARRIED];
#if MODEL_PENDING
    uint32_t pending_size;
    unsigned char pending[MODEL_PENDING]; /* text whose tokens what follows may still change */
#endif
} MODEL_state;

#if MODEL_WEIGHTS_BESIDE
/* Use weights that lie in the caller's memory, the bytes of the file beside the source. They must be aligned as floats
   are, and stay where they are; several streams share them. */
int MODEL_attach(const void *weights, size_t size);
#endif

/* Begin a stream. */
int MODEL_init(MODEL_state *state);

/* The bytes that MODEL_save writes. */
size_t MODEL_state_size(void);

/* Write a stream into `out`, of `size` bytes, in a form that every machine reads. */
int MODEL_save(const MODEL_state *state, void *out, size_t size);

/* Take up a saved stream. A state of another model is refused; `state` then is as it was. */
int MODEL_load(MODEL_state *state, const void *data, size_t size);
