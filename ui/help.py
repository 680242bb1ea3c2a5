"""The words of the help panel and of hints."""

from __future__ import annotations

HELP = """
**Photo.** Drop a photo anywhere on the page, paste one, choose a file, or use the camera. JPEG, PNG, WebP and
HEIC up to 64 megapixels. A face that looks towards the camera, without sunglasses, works best. With several
faces, press the number of the one you mean.

**Age.** The mark under the slider is the age that the face looks now. With the slider focused, the arrow keys
move it a year at a time. A quick preview comes first; then the model studies this one face, which takes a
minute or two on a processor. After that, every further age of the same photo comes within seconds.

**More.** *Strength* says how strongly the years show. *Realism* says how much of the photo's own detail (pores,
lashes, hair) stays. *Time to spend* says how long the model studies the face: longer keeps the likeness better.
*Model and style* uses a published SAM or MyTimeMachine model instead of the embedded one, and takes chosen layers from
the face of another photo, its hair colour for example.

**People.** On the People page, give photos of one person from many years, about 50 are good: a folder, a zip, or
single files, thousands at once if need be. Say who it is and when they were born, and tick the consent: telling faces
apart happens on this machine alone, and only with it. Everyage then asks about the faces that it is not sure of, works
out the age in each photo (from dates, file names such as 42_0007.jpg, folder names, or as an estimate that you can
correct), and shows which ages are covered. *Learn how NAME ages* trains that person's own model; you may close the
page meanwhile, stop, and go on later. Then choose the person on the Age page. *Forget NAME* removes every trace of
somebody from this machine, but for the files in your own folders.

**Generate.** Say what to show, or take an idea. *Guidance* says how strongly the picture follows the words; a strong
one burns colours and contrast, which *Anti-burn* prevents: *As the paper* uses adaptive projected guidance as it was
published, *Off* is the plain method. Under *Expert* is every setting with its meaning. Begin with a picture of your
own, brush over what is to change, let adapters act with a weight, or compare settings on one seed in a grid. Ctrl and
Enter makes the picture, Escape stops. A picture dropped under *Settings from a picture* brings its settings back,
also from other programs. The embedded model knows made-up heads only: age, sex, hair, beard, skin, eyes, expression,
turn of the head, light and background.

**Fine-tune.** Give five to fifty pictures of one thing, say in a phrase what they show (a made-up word such as *zkw*
makes it easy to ask for later), choose how strongly to learn, and press Start. *Only look at the pictures* names what
can't be used and says how much memory the training needs. Drawings of the same prompts show how it goes; Stop keeps
what is done, and *Go on* comes to the same end. Then choose the adapter on the Generate page under *Adapters*, with a
weight: less than 1 is subtler, below 0 turns away. Captions in .txt files beside the pictures, with the same names,
teach more than one phrase. *Compare methods* lets several learn from the same pictures, and shows a table and
drawings side by side; the one that you like best can be kept. Somebody in your collection can be learnt by name, with
the age in each caption; *Forget* removes these adapters, too.

**Video.** Drop a video, or write where it lies. Everyage looks who is in it, follows each face through the scenes,
and shows everybody as a card: tick whom to age, and choose an age, two ages to grow older in between, or keyframes.
*Preview this frame* shows the frame under the slider as it will be. *Age the video* puts the work into the queue, and
you can close the tab: it goes on, also after the app or the computer was started again. Size, length, sound and
subtitles stay as they are, and frames without the person stay untouched. Under *Expert* are codec, quality and 10 bit.

**Jobs.** Everything long that waits, goes on, or is done. *Cancel* keeps what is finished, and *Go on* continues from
there; waiting jobs can change places. *Remove from the list* leaves the files alone, *Delete with files* does not.

**Models.** Everyage works without adding anything. On the Models page you can add models that others have published:
choose one, read and accept its licence, then press Download, or fetch the file yourself and drop it there. An
interrupted download goes on where it was. *Check files* compares every file with its checksum.

**Keep it.** The downloaded file carries the settings that made it, and a mark that says it was made by AI. Drop
that file back into the page, and the settings return. Finished results are kept under *Your results* until you
remove them.

**Privacy.** Photos, faces and results stay on this machine: nothing is uploaded, counted or reported. Where the
photo was taken is left out of every result. Please age only people who would agree to it.
"""
STRENGTH = "1 is natural. Less is subtle, more is bold."
REALISM = "How much of the photo's own detail stays: pores, lashes, hair."
CARE = "Longer keeps the likeness better. The first age of a photo takes this long, further ages only seconds."
STRIP = "The ages of the strip, with commas between."
FORMAT = "PNG keeps every pixel. JPEG and WebP are smaller. All carry their settings."
SEED = "Of a random style below; the same number gives the same."
MODEL = "Models that you add on the Models page are offered here."
OFFICIAL = "Exactly what the published model draws, at its full size, without the photo's own detail."
LAYERS = (
    "Numbers such as 8,9 or 4-7; empty mixes nothing. In a 1024 px model 8 and 9 carry colour, of hair above all. "
    "The style is that of the photo below, or a random one."
)
KEYFRAMES = "second:age, such as 0:20, 10:80; between them the age goes evenly"
VIDEO_STEPS = "for each person and shot; 0 is quick and less alike"
